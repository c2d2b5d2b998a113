"""One flow at a time on one workspace, and what a study has changed in it put back, however the study has ended."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stages.files import atomic_path
from stages.params import PARAMS_FILE
from stages.program import BORROWED

LOCK = Path(".work/flow.lock")
HOLDER = Path(".work/flow.txt")  # beside the lock: taking a lock file empties it
BACKUP = BORROWED.parent  # what stood here before a study, until the study has put it back
WRITTEN = BACKUP / "written"  # digests of what the study has made of params.yaml
DVC_LOCK = Path("dvc.lock")


class WorkspaceBusy(RuntimeError):
    """Another flow works on this workspace; the text says which."""


@contextmanager
def held(by: str, warn: Callable[[str], object]) -> Iterator[None]:
    """Keep other flows off the workspace, which is first put back as it was if a study was killed in it.

    Stages that plain DVC runs are kept off a study's workspace by :mod:`stages.program`.

    The system lets go of it when this process ends, however it ends.

    Args:
        by: what others are told, "reproduce" or "ablate my-study".
        warn: is told what could not be put back.

    Raises:
        WorkspaceBusy: another flow holds it, in this process or in another one.
    """
    LOCK.parent.mkdir(exist_ok=True)
    lock = FileLock(LOCK.resolve())
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        holder = HOLDER.read_text(encoding="utf-8") if HOLDER.is_file() else "another flow"
        raise WorkspaceBusy(f"{holder} works on {Path.cwd()}; wait for its end, or cancel it") from error
    try:
        with atomic_path(HOLDER) as tmp:
            tmp.write_text(f"{by} (process {os.getpid()})", encoding="utf-8")
        put_back(warn)
        yield
    finally:
        lock.release()


@contextmanager
def borrowed(warn: Callable[[str], object]) -> Iterator[None]:
    """Put params.yaml, dvc.lock and the outputs back as they are now; the workspace must be held."""
    BACKUP.mkdir(parents=True)
    for path in (PARAMS_FILE, DVC_LOCK):
        if path.is_file():
            (BACKUP / path.name).write_bytes(path.read_bytes())
    BORROWED.touch()
    try:
        yield
    finally:
        put_back(warn)


def set_parameters(content: bytes) -> None:
    """Make this params.yaml, in a borrowed workspace; noted first, to be told from what somebody edits meanwhile."""
    with WRITTEN.open("a", encoding="utf-8") as written:
        written.write(hashlib.sha256(content).hexdigest() + "\n")
    with atomic_path(PARAMS_FILE) as tmp:
        tmp.write_bytes(content)


def put_back(warn: Callable[[str], object]) -> None:
    """Undo what a study has changed; nothing where there was none.

    Where params.yaml is neither as before the study nor as the study wrote it, somebody works on: all stays.
    """
    if not BACKUP.exists():
        return
    if BORROWED.exists():
        if _is_edited():
            warn(
                f"{PARAMS_FILE} was edited since a study began; it stays as it is now (see git diff {PARAMS_FILE}), "
                f"and so do {DVC_LOCK} and the outputs: `dvc repro` brings them in step"
            )
        else:
            _put_back_parameters()
            _put_back_outputs(warn)
    BORROWED.unlink(missing_ok=True)  # first: what is left of a backup must not be taken for one
    for path in BACKUP.iterdir():
        path.unlink()
    BACKUP.rmdir()


def _is_edited() -> bool:
    written = WRITTEN.read_text(encoding="utf-8").split() if WRITTEN.exists() else []
    now = PARAMS_FILE.read_bytes() if PARAMS_FILE.is_file() else _parameters_before()
    return now != _parameters_before() and hashlib.sha256(now).hexdigest() not in written


def _parameters_before() -> bytes:
    return (BACKUP / PARAMS_FILE.name).read_bytes()


def _put_back_parameters() -> None:
    with atomic_path(PARAMS_FILE) as tmp:
        tmp.write_bytes(_parameters_before())


def _put_back_outputs(warn: Callable[[str], object]) -> None:
    before = BACKUP / DVC_LOCK.name
    if before.is_file():
        with atomic_path(DVC_LOCK) as tmp:
            tmp.write_bytes(before.read_bytes())
        dvc("checkout", "--force", "--allow-missing", "--quiet")
    elif DVC_LOCK.is_file():  # else its numbers would pass for those of params.yaml
        DVC_LOCK.unlink()
        warn(f"there was no {DVC_LOCK} before the study: it is gone again; outputs stay as the study made them")


def dvc(*arguments: str) -> None:
    """Run DVC in a process of its own. Raises RuntimeError with its words where it refuses."""
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"dvc {' '.join(arguments)}: {done.stderr.strip()[-1000:]}")
