"""Shards on a real Dask cluster: the same files, whatever happens to workers and scheduler."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

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


def test_no_scheduler_and_no_worker_are_said(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECT_S", 1)
    with pytest.raises(ClusterError, match="no Dask scheduler answers at tcp"):
        shards.run_shards(slow, [()], ["a"], "stage", executor="tcp://127.0.0.1:9")
    empty = LocalCluster(n_workers=0, processes=True, dashboard_address=None)
    with empty, pytest.raises(ClusterError, match="has no workers: start `dask worker"):
        shards.run_shards(slow, [()], ["a"], "stage", executor=empty.scheduler_address)
