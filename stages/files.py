"""Writing files so that a killed run leaves either the whole file or none."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from filelock import FileLock, Timeout


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` (same suffix) that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield tmp
        os.replace(tmp, path)  # noqa: PTH105 - replaces a file or an empty folder in one step
    finally:
        if tmp.is_dir():
            shutil.rmtree(tmp, ignore_errors=True)
        else:
            tmp.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, waiting: str) -> Iterator[None]:
    """Hold a lock file; while somebody else does, print `waiting` and wait. Its folder must exist.

    The system releases it when this process ends, however it ends. What holds it already may take it again.
    """
    lock = FileLock(path.resolve(), is_singleton=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        print(waiting, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def fresh_dir(path: Path) -> Path:
    """An empty folder at `path`, whatever stood there before."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def write_json(data: object, path: Path) -> None:
    with atomic_path(path) as tmp:
        tmp.write_text(json.dumps(data, indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def quoted(path: Path) -> str:
    """A path as text that any table can hold: percent-encoded, as in a URL, whatever bytes its name has."""
    return quote(os.fsencode(path))


def unquoted(text: str) -> Path:
    """The path that :func:`quoted` was given."""
    return Path(os.fsdecode(unquote_to_bytes(text)))
