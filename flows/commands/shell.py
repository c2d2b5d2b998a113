"""What all commands share: the repository they work on, and errors told in one line."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

CHECKOUT = Path(__file__).resolve().parents[2]


class OneLineErrors(TyperGroup):
    """Says wrong use in one line on stderr, exit 2, in place of a framed page."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except typer.Abort:
            sys.exit(1)
        except Exception as error:
            if not standalone_mode or not hasattr(error, "format_message"):
                raise
            fail(" ".join(error.format_message().split()))
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)


def fail(message: str) -> None:
    """One line on stderr, exit 2."""
    print(f"dreamtalk: {message}", file=sys.stderr)
    sys.exit(2)


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn what the user can mend into one line on stderr and exit 2; everything else passes through."""
    with native_logs_off():
        from stages.evaluation.inputs import InputError
        from stages.features.face_files import FaceFileError
        from stages.features.speech_network import CheckpointError
        from stages.params import ParamsError

        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: what is half made is removed
        try:
            yield
        except (InputError, ParamsError, CheckpointError, FaceFileError, OSError) as error:
            fail(" ".join(str(error).split()))
        finally:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def native_logs_off() -> Iterator[None]:
    """Keep what mediapipe's C++ side writes to stderr, whatever its log level, out of the user's sight."""
    python, real = sys.stderr, os.dup(2)
    with open(os.devnull, "w") as nothing:  # noqa: PTH123 - not a path of the file system
        os.dup2(nothing.fileno(), 2)
    if python is sys.__stderr__:
        sys.stderr = open(real, "w", closefd=False)  # noqa: SIM115 - a descriptor, closed below
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = python
        os.dup2(real, 2)
        os.close(real)


def repository() -> Path:
    """Where params.yaml, models/ and data/ are: the current folder, else the checkout this program is part of."""
    return Path.cwd() if Path("params.yaml").is_file() else CHECKOUT


def parameters():
    """The repository's params.yaml."""
    from stages import params

    return params.load(repository() / params.PARAMS_FILE)


def workshop():
    """The repository's networks and parameters."""
    settings = parameters()  # before the slow imports: it may say no at once
    from stages.evaluation.workshop import Workshop

    return Workshop(repository(), settings)
