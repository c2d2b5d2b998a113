"""Flows, stages and what they start, killed at random points: the next run gives the same outputs, no lock is left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.stage_process import StageFailed, run_stage
from tests.flows.in_background import running

SLOW = """
import sys, time
from pathlib import Path
Path("started").touch()
time.sleep(1.0)
Path(sys.argv[1]).write_text(Path("params.yaml").read_text())
"""
FLOW = """
from flows.stage_process import run_stage
for stage in ("first", "second"):
    run_stage(stage, print)
"""


@pytest.fixture
def slow_repo(dvc_repo: Path) -> Path:
    (dvc_repo / "write.py").write_text(SLOW)
    return dvc_repo


def flow_process(root: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", FLOW], env={**os.environ, "PYTHONPATH": str(root)})


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


def wait_until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def completes(repo: Path) -> None:
    for stage in ("first", "second"):
        run_stage(stage, lambda line: None)
    assert (repo / "second.txt").read_text() == "word: hello\n"
    assert subprocess.run([sys.executable, "-m", "dvc", "status", "-q"], cwd=repo).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_flow_takes_its_stage_along(slow_repo: Path, root: Path, number: int) -> None:
    flow = flow_process(root)
    wait_until(lambda: (slow_repo / "started").exists())
    flow.send_signal(number)
    flow.wait(30)
    wait_until(lambda: not stages_here(slow_repo))
    completes(slow_repo)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_flow_killed_at_any_point_leaves_a_usable_workspace(slow_repo: Path, root: Path, seed: int) -> None:
    flow = flow_process(root)
    time.sleep(random.Random(seed).uniform(0.2, 6.0))
    flow.kill()
    flow.wait()
    wait_until(lambda: not stages_here(slow_repo))
    completes(slow_repo)


def test_a_killed_stage_is_worth_another_try_and_leaves_nothing_running(slow_repo: Path) -> None:
    thread, failures = running("first")
    wait_until(lambda: (slow_repo / "started").exists())
    dvc = next(process for process in stages_here(slow_repo) if "repro" in process.cmdline())
    dvc.kill()
    thread.join(30)
    assert failures and failures[0].transient and "SIGKILL" in str(failures[0])
    wait_until(lambda: not stages_here(slow_repo))
    completes(slow_repo)


def test_a_stage_ends_at_its_time_limit(slow_repo: Path) -> None:
    (slow_repo / "write.py").write_text(SLOW.replace("1.0", "60"))
    with pytest.raises(StageFailed, match="time limit") as failure:
        run_stage("first", lambda line: None, timeout_s=4)
    assert not failure.value.transient
    wait_until(lambda: not stages_here(slow_repo))
