"""Shards on a real Dask cluster: the same files, whatever happens to workers and scheduler."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import dask
import pytest
from distributed import LocalCluster

from stages import cluster as cluster_module
from stages import shards
from stages.cluster import ClusterError


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(shards, "WORK", Path("work"))  # workers must find it from this process' folder
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> None:
    (folder / "out").write_text(text + Path("beside.txt").read_text())


def fail(folder: Path, text: str) -> None:
    if text == "b":
        raise ValueError(f"bad shard {text}")
    (folder / "out").write_text(text)


def die_once(folder: Path, marker: str) -> None:
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "out").write_text("survived")


def die(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def slow(folder: Path) -> None:
    time.sleep(60)


def test_shards_are_made_in_the_folder_of_the_caller_once(cluster, work):
    (work / "beside.txt").write_text("!")
    for texts in ("ab", "abc"):
        folders = shards.run_shards(
            write, [(t,) for t in texts], list(texts), "stage", executor=cluster.scheduler_address
        )
    assert [(folder / "out").read_text() for folder in folders] == ["a!", "b!", "c!"]


def test_an_error_is_the_callers_and_finished_shards_stay(cluster, work):
    with pytest.raises(ValueError, match="bad shard b"):
        shards.run_shards(fail, [("a",), ("b",)], ["a", "b"], "stage", executor=cluster.scheduler_address)
    assert not (work / "work/stage/b").exists()


def test_a_worker_that_is_killed_is_replaced(cluster, work):
    (folder,) = shards.run_shards(die_once, [("m",)], ["a"], "stage", executor=cluster.scheduler_address)
    assert (folder / "out").read_text() == "survived"


def test_a_shard_that_kills_every_worker_is_told_apart(cluster):
    with pytest.raises(BrokenProcessPool):
        shards.run_shards(die, [()], ["a"], "stage", executor=cluster.scheduler_address)
    assert shards.interrupted("stage", ["a", "b"]) == ["a"]


def test_no_scheduler_is_said(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_S", 1)
    with pytest.raises(ClusterError, match="no Dask scheduler answers at tcp"):
        shards.run_shards(slow, [()], ["a"], "stage", executor="tcp://127.0.0.1:9")


@pytest.fixture
def empty(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalCluster]:
    """A scheduler without workers, for two seconds of which a stage has patience."""
    monkeypatch.setattr(cluster_module, "LOOK_S", 0.5)
    with (
        LocalCluster(n_workers=0, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        dask.config.set({cluster_module.PATIENCE: "2s"}),
    ):
        yield cluster


def test_workers_that_never_come_are_asked_for_and_then_given_up(empty, capfd):
    with pytest.raises(ClusterError, match=r"no workers for 2 s.*start `dask worker tcp:.*type the command again"):
        shards.run_shards(slow, [()], ["a"], "stage", executor=empty.scheduler_address)
    asked = [line for line in capfd.readouterr().out.splitlines() if "has no workers" in line]
    assert len(asked) == 4 and all(f"start `dask worker {empty.scheduler_address}`" in line for line in asked)


def test_workers_that_come_late_are_enough(empty, work):
    (work / "beside.txt").write_text("!")
    threading.Timer(1.2, empty.scale, [1]).start()
    with dask.config.set({cluster_module.PATIENCE: "2 minutes"}):
        (folder,) = shards.run_shards(write, [("a",)], ["a"], "stage", executor=empty.scheduler_address)
    assert (folder / "out").read_text() == "a!"


def test_a_scheduler_with_less_patience_is_believed(work):
    with dask.config.set({cluster_module.PATIENCE: "1s"}):
        cluster = LocalCluster(n_workers=0, processes=True, dashboard_address=None)
    with cluster, pytest.raises(ClusterError, match=r"no workers for 1 s"):
        shards.run_shards(slow, [()], ["a"], "stage", executor=cluster.scheduler_address)
