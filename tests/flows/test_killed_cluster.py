"""A stage whose shards run on a real Dask cluster, of which machines fall out at random points."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.stage_process import run_stage
from tests.flows.in_background import free_port, stages_here, wait_until

SHARDS = 8
STAGE = f"""
import os, time
from pathlib import Path
from stages.shards import run_shards

def shard(folder, number):
    Path("started").touch()
    time.sleep(0.5)
    (folder / "out").write_text(str(number))

if __name__ == "__main__":
    import write
    numbers = range({SHARDS})
    jobs, keys = [(number,) for number in numbers], [str(number) for number in numbers]
    folders = run_shards(write.shard, jobs, keys, "stage", executor=os.environ["CLUSTER"])
    Path("first.txt").write_text(" ".join((folder / "out").read_text() for folder in folders))
"""


@pytest.fixture
def cluster(dvc_repo: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen]]:
    """Two `dask worker` commands, each a keeper and its worker, at a scheduler that the stage is told of."""
    (dvc_repo / "write.py").write_text(STAGE)
    monkeypatch.setenv("PYTHONPATH", f"{root}{os.pathsep}{dvc_repo}")
    monkeypatch.setenv("CLUSTER", address := f"tcp://127.0.0.1:{free_port()}")
    elsewhere = {"cwd": dvc_repo.parent, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    port = ["--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard"]
    started = [subprocess.Popen([*dask, "scheduler", *port], start_new_session=True, **elsewhere)]
    try:
        work = [*dask, "worker", address, "--nthreads", "1", "--no-dashboard"]
        workers = [subprocess.Popen(work, start_new_session=True, **elsewhere) for _ in range(2)]
        started += workers
        wait_until(lambda: all(psutil.Process(worker.pid).children() for worker in workers))
        yield workers
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("whole_machine", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_shards_of_a_killed_worker_are_done_by_another(
    dvc_repo: Path, cluster: list[subprocess.Popen], seed: int, whole_machine: bool
) -> None:
    lines: list[str] = []
    fate = random.Random(seed)

    def kill() -> None:
        wait_until((dvc_repo / "started").exists)
        time.sleep(fate.uniform(0.0, 1.5))
        chosen = fate.choice(cluster)
        if whole_machine:
            os.killpg(chosen.pid, signal.SIGKILL)
        else:
            psutil.Process(chosen.pid).children()[-1].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    assert run_stage("first", lines.append).outcome == "ran", lines
    killer.join()
    assert (dvc_repo / "first.txt").read_text() == " ".join(str(number) for number in range(SHARDS))
    assert not list((dvc_repo / ".work/stage").glob(".*.tmp"))
    wait_until(lambda: not stages_here(dvc_repo))
    assert run_stage("first", lines.append).outcome == "unchanged"
