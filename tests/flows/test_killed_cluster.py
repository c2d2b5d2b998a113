"""A stage whose shards run on a real Dask cluster, of which machines fall out at random points."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from flows.stage_process import run_stage
from tests.flows.in_background import free_port, running, stages_here, wait_until

SHARDS = 8
RESULT = " ".join(str(number) for number in range(SHARDS))
STAGE = f"""
import os, time
from pathlib import Path
from stages import cluster
from stages.shards import run_shards

def shard(folder, number):
    Path("started").touch()
    time.sleep(0.5)
    (folder / "out").write_text(str(number))

if __name__ == "__main__":
    import write
    cluster.LOOK_S = 1.0
    numbers = range({SHARDS})
    jobs, keys = [(number,) for number in numbers], [str(number) for number in numbers]
    folders = run_shards(write.shard, jobs, keys, "stage", executor=os.environ["CLUSTER"])
    Path("first.txt").write_text(" ".join((folder / "out").read_text() for folder in folders))
"""


class Cluster(NamedTuple):
    workers: list[subprocess.Popen]
    start_worker: Callable[[], None]


def kill_machine(command: subprocess.Popen) -> None:
    """End a command and all that it has started, at once."""
    with suppress(ProcessLookupError):
        os.killpg(command.pid, signal.SIGKILL)
    command.wait()


@pytest.fixture
def cluster(dvc_repo: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Two `dask worker` commands, each a keeper and its worker, at a scheduler that the stage is told of."""
    (dvc_repo / "write.py").write_text(STAGE)
    monkeypatch.setenv("PYTHONPATH", f"{root}{os.pathsep}{dvc_repo}")
    monkeypatch.setenv("CLUSTER", address := f"tcp://127.0.0.1:{free_port()}")
    elsewhere = {"cwd": dvc_repo.parent, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    port = ["--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]
    scheduler = subprocess.Popen([*dask, "scheduler", *port], start_new_session=True, **elsewhere)
    workers: list[subprocess.Popen] = []

    def start_worker() -> None:
        work = [*dask, "worker", address, "--nthreads", "1", "--no-dashboard"]
        workers.append(subprocess.Popen(work, start_new_session=True, **elsewhere))

    try:
        for _ in range(2):
            start_worker()
        wait_until(lambda: all(psutil.Process(worker.pid).children() for worker in workers))
        yield Cluster(workers, start_worker)
    finally:
        for process in (scheduler, *workers):
            kill_machine(process)


@pytest.mark.slow
@pytest.mark.parametrize("whole_machine", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_shards_of_a_killed_worker_are_done_by_another(
    dvc_repo: Path, cluster: Cluster, seed: int, whole_machine: bool
) -> None:
    lines: list[str] = []
    fate = random.Random(seed)

    def kill() -> None:
        wait_until((dvc_repo / "started").exists)
        time.sleep(fate.uniform(0.0, 1.5))
        chosen = fate.choice(cluster.workers)
        if whole_machine:
            kill_machine(chosen)
        else:
            psutil.Process(chosen.pid).children()[-1].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    assert run_stage("first", lines.append).outcome == "ran", lines
    killer.join()
    assert (dvc_repo / "first.txt").read_text() == RESULT
    assert not list((dvc_repo / ".work/stage").glob(".*.tmp"))
    wait_until(lambda: not stages_here(dvc_repo))
    assert run_stage("first", lines.append).outcome == "unchanged"


def shards_done(repo: Path) -> list[Path]:
    return list((repo / ".work/stage").glob("[!.]*"))


@pytest.mark.slow
@pytest.mark.parametrize("patience", ["5 minutes", "3s"])
def test_a_stage_whose_workers_are_all_lost_waits_for_others_but_not_for_ever(
    dvc_repo: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, patience: str
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT", patience)
    thread, failures, lines = running("first")
    wait_until(lambda: shards_done(dvc_repo))
    for worker in cluster.workers:
        kill_machine(worker)
    done = len(shards_done(dvc_repo))
    wait_until(lambda: any("start `dask worker" in line for line in lines))
    if patience == "3s":
        thread.join()
        assert "no workers for 3 s; what was finished is kept" in str(failures[0])
        assert 0 < done == len(shards_done(dvc_repo)) < SHARDS
    cluster.start_worker()
    thread.join()
    assert bool(failures) == (patience == "3s")
    run_stage("first", lines.append)
    assert (dvc_repo / "first.txt").read_text() == RESULT
