"""Process groups that end with this process, even where it dies without a word: a small process beside it sees to that.

It is started with the first group; see flows/guard.py.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

PROGRAM = Path(__file__).with_name("guard.py")
_groups: set[int] = set()
_lock = threading.Lock()
_guard: subprocess.Popen | None = None


def guard(group: int) -> None:
    """From now on the process group ends at the latest with this process."""
    with _lock:
        _groups.add(group)
        _tell([f"+{group}"])


def unguard(group: int) -> None:
    """The group has ended, and its number may soon be another's."""
    with _lock:
        _groups.discard(group)
        _tell([f"-{group}"])


def _tell(lines: list[str]) -> None:
    global _guard
    if _guard is None or _guard.poll() is not None:
        command = [sys.executable, "-IS", str(PROGRAM)]
        _guard = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        lines = [f"+{group}" for group in _groups]
    _guard.stdin.writelines(f"{line}\n" for line in lines)
    _guard.stdin.flush()
