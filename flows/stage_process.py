"""One DVC stage as a child process: its output line by line, how it ended, and a clean end when it is cancelled."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flows.guarded import guard, unguard

Outcome = Literal["ran", "unchanged", "restored"]

# How DVC says that it ran nothing (see tests/flows/test_stage_process.py, which holds it to these words).
UNCHANGED = "didn't change, skipping"
RESTORED = "is cached - skipping run"
# What may well succeed when tried again: another process was in the way, or the stage was killed from outside.
TRANSIENT = re.compile(r"is busy, it is being blocked by|Unable to acquire lock|exited with (-9|-15|137|143)\b")

GRACE_S = 20.0  # for each signal: a stage with a pool of workers takes some seconds to unwind on SIGINT
TAIL = 20
_live: dict[int, subprocess.Popen] = {}
_lock = threading.Lock()
_stopped = threading.Event()


class StageFailed(RuntimeError):
    """A stage ended with an error; the text holds its last lines.

    Attributes:
        transient: another process was in the way, or a signal ended it: the same call may well succeed.
    """

    def __init__(self, text: str, transient: bool = False) -> None:
        super().__init__(text)
        self.transient = transient

    def __reduce__(self) -> tuple:  # exceptions lose keyword arguments when pickled
        return type(self), (str(self), self.transient)


@dataclass(frozen=True)
class StageResult:
    stage: str
    outcome: Outcome


def run_stage(
    stage: str,
    log: Callable[[str], None],
    env: dict[str, str] | None = None,
    timeout_s: float | None = None,
) -> StageResult:
    """Run ``dvc repro --single-item stage`` in a process group of its own, each line of output given to `log`.

    It waits for DVC's repository lock, so several may run at once as long as their outputs lie apart.

    Args:
        timeout_s: end the stage after that many seconds; None waits.

    Raises:
        StageFailed: the stage or DVC ended with an error, or took too long.
    """
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    process = start(command, env)
    late = threading.Event()
    alarm = threading.Timer(timeout_s or 0, lambda: (late.set(), _stop([process])))
    alarm.daemon = True
    if timeout_s:
        alarm.start()
    outcome: Outcome = "ran"
    tail: list[str] = []
    try:
        for line in process.stdout:
            line = line.rstrip()
            if not line:
                continue
            log(line)
            tail = [*tail[1 - TAIL :], line]
            if UNCHANGED in line:
                outcome = "unchanged"
            elif RESTORED in line:
                outcome = "restored"
        code = process.wait()
    except BaseException:
        _stop([process])
        raise
    finally:
        alarm.cancel()
    if late.is_set():
        raise StageFailed(f"{stage} was stopped after {timeout_s:.0f} s, its time limit:\n" + "\n".join(tail))
    if code:
        transient = not _stopped.is_set() and (code < 0 or any(TRANSIENT.search(line) for line in tail))
        raise StageFailed(f"{stage} ended with {_how(code)}:\n" + "\n".join(tail), transient)
    return StageResult(stage, outcome)


def start(command: list[str], env: dict[str, str] | None = None) -> subprocess.Popen:
    """A child in a process group of its own, output and errors in one pipe; the group ends with its first process.

    Raises:
        StageFailed: :func:`stop_all` was called, and nothing is to start.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    with _lock:
        if _stopped.is_set():
            raise StageFailed("the flow is being stopped")
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env={**own, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1", **(env or {})},
        )
        _live[process.pid] = process
        guard(process.pid)
    threading.Thread(target=_reap, args=[process], daemon=True).start()
    return process


def stop_all() -> None:
    """End every running stage and all its children: SIGINT first, on which DVC gives its locks back."""
    with _lock:
        _stopped.set()
        processes = list(_live.values())
    _stop(processes)


def allow_starts() -> None:
    """Take back :func:`stop_all`: a new flow begins in this process."""
    _stopped.clear()


def _reap(process: subprocess.Popen) -> None:
    """Once a group's first process has ended, end the rest: nobody else would, if it was killed."""
    process.wait()
    _signal_group(process, signal.SIGKILL)
    with _lock:
        _live.pop(process.pid, None)
        unguard(process.pid)


def _stop(processes: list[subprocess.Popen]) -> None:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            if process.poll() is None:
                _signal_group(process, sign)
        deadline = time.monotonic() + GRACE_S
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        if all(process.poll() is not None for process in processes):
            return


def _signal_group(process: subprocess.Popen, sign: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, sign)


def _how(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
