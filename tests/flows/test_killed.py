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
from tests.flows.in_background import free_port, running, stages_here, wait_until

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
    thread, failures, _ = running("first")
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


def server_here(repo: Path) -> psutil.Process | None:
    return next((process for process in stages_here(repo) if "server" in process.cmdline()), None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_flow_outlasts_its_prefect_server(slow_repo: Path, root: Path, seed: int) -> None:
    command = [sys.executable, "-m", "flows.cli", "reproduce", "--prefect-port", str(free_port())]
    with (slow_repo / "flow.log").open("w") as log:
        flow = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(root)}, stdout=log, stderr=log)
        wait_until(lambda: (slow_repo / "started").exists() or flow.poll() is not None)
        time.sleep(random.Random(seed).uniform(0.0, 3.0))
        server_here(slow_repo).kill()
        assert flow.wait(300) == 0, (slow_repo / "flow.log").read_text()[-5000:]
    wait_until(lambda: not stages_here(slow_repo))
    completes(slow_repo)


@pytest.mark.slow
def test_a_killed_flow_takes_its_prefect_server_along(slow_repo: Path, root: Path) -> None:
    command = [sys.executable, "-m", "flows.cli", "reproduce", "--prefect-port", str(free_port())]
    flow = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(root)})
    wait_until(lambda: (slow_repo / "started").exists())
    assert server_here(slow_repo)
    flow.kill()
    flow.wait()
    wait_until(lambda: not stages_here(slow_repo))
    completes(slow_repo)
