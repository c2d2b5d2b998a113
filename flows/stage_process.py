"""One DVC stage as a child process: its output line by line, how it ended, and a clean end when it is cancelled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ran", "unchanged", "restored"]

# How DVC says that it ran nothing (see tests/flows/test_stage_process.py, which holds it to these words).
UNCHANGED = "didn't change, skipping"
RESTORED = "is cached - skipping run"

GRACE_S = 10.0
_live: dict[int, subprocess.Popen] = {}
_lock = threading.Lock()


class StageFailed(RuntimeError):
    """A stage ended with an error; the text holds its last lines."""


@dataclass(frozen=True)
class StageResult:
    stage: str
    outcome: Outcome


def run_stage(stage: str, log: Callable[[str], None], env: dict[str, str] | None = None) -> StageResult:
    """Run ``dvc repro --single-item stage`` in a process group of its own, each line of output given to `log`.

    It waits for DVC's repository lock, so several may run at once as long as their outputs lie apart.

    Raises:
        StageFailed: the stage or DVC ended with an error.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])  # noqa: PTH120
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
        env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", **(env or {})},
    )
    with _lock:
        _live[process.pid] = process
    outcome: Outcome = "ran"
    tail: list[str] = []
    try:
        for line in process.stdout:
            line = line.rstrip()
            if not line:
                continue
            log(line)
            tail = [*tail[-19:], line]
            if UNCHANGED in line:
                outcome = "unchanged"
            elif RESTORED in line:
                outcome = "restored"
        code = process.wait()
    finally:
        with _lock:
            _live.pop(process.pid, None)
    if code:
        raise StageFailed(f"{stage} ended with exit code {code}:\n" + "\n".join(tail))
    return StageResult(stage, outcome)


def stop_all() -> None:
    """End every running stage and all its children: SIGINT first, on which DVC gives its locks back."""
    with _lock:
        processes = list(_live.values())
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            _signal_group(process, sign)
        for process in processes:
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                continue
        if all(process.poll() is not None for process in processes):
            return


def _signal_group(process: subprocess.Popen, sign: signal.Signals) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
