"""What is asked of the files that a user names."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path


class InputError(ValueError):
    """A file cannot be used; the text names it, says what is wrong and what to do."""


def check_input(path: Path) -> None:
    """Raises:
    InputError: there is no such file.
    """
    if not path.is_file():
        raise InputError(f"{path} is a folder; give a file" if path.is_dir() else f"{path}: no such file")


def check_output(out: Path, suffixes: Sequence[str], inputs: Iterable[Path] = ()) -> None:
    """Before any work is done: can a file be made there, and is it none of `inputs`?

    Raises:
        InputError: the name does not end in one of `suffixes`, `out` is a folder or, by whatever path, one of
            `inputs`, or its folder cannot be written.
    """
    if out.suffix.lower() not in suffixes:
        raise InputError(f"{out}: the name must end in {' or '.join(suffixes)}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out.parent, prefix=f".{out.stem}.", suffix=f".tmp{out.suffix}"):
            pass  # named as in atomic_path
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
    if out.is_dir():
        raise InputError(f"{out} is a folder; give the name of a file")
    if out.exists() and any(path.exists() and out.samefile(path) for path in inputs):
        raise InputError(f"{out} is read, and would be lost: give another name for what is made of it")
