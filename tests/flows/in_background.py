"""What runs while a test does something to it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from flows.stage_process import StageFailed, run_stage


def running(stage: str) -> tuple[threading.Thread, list[StageFailed], list[str]]:
    """The thread that runs a stage, and lists that get its failure and its output."""
    failures: list[StageFailed] = []
    lines: list[str] = []

    def run() -> None:
        try:
            run_stage(stage, lines.append)
        except StageFailed as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, failures, lines


def stages_here(repo: Path) -> list[psutil.Process]:
    """What still runs in the repository."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(repo) and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [process for process in found if "guard.py" not in " ".join(process.cmdline())]


def wait_until(condition: Callable[[], object], seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
