"""Finished shards are not done again; a failed one leaves nothing; what goes in decides the key."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from stages import shards
from stages.program import one_line_errors


def write(folder, text: str, log) -> None:
    with log.open("a") as file:
        file.write(text)
    if text == "!":
        raise RuntimeError("bad shard")
    if text == "x":
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "slow":
        time.sleep(0.5)
    (folder / "out").write_text(text)


LINGER = r"""
from stages.shards import in_workers
list(in_workers(exec, [("import os, time; os.write(1, b'%d\\n' % os.getpid()); time.sleep(60)",)] * 2))
"""


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "WORK", tmp_path / "work")
    monkeypatch.setenv("DREAMTALK_WORKERS", "1")
    return tmp_path


def run(work, texts: str | list[str], **options):
    return shards.run_shards(write, [(text, work / "log") for text in texts], list(texts), "stage", **options)


def test_only_what_is_missing_is_done(work):
    run(work, "ab")
    folders = run(work, "abc")
    assert [(folder / "out").read_text() for folder in folders] == ["a", "b", "c"]
    assert (work / "log").read_text() == "abc"


def test_the_greatest_work_begins_first_and_folders_keep_their_order(work):
    folders = run(work, "abc", weights=[1, 3, 2])
    assert (work / "log").read_text() == "bca"
    assert [(folder / "out").read_text() for folder in folders] == ["a", "b", "c"]


def test_an_error_keeps_what_was_finished(work):
    with pytest.raises(RuntimeError, match="bad shard"):
        run(work, "a!b")
    assert [folder.name for folder in (work / "work/stage").iterdir()] == ["a"]


def test_an_error_waits_for_the_shards_that_are_worked_on(work, monkeypatch):
    monkeypatch.setenv("DREAMTALK_WORKERS", "2")
    with pytest.raises(RuntimeError, match="bad shard"):
        run(work, ["slow", "!"])
    assert [folder.name for folder in (work / "work/stage").iterdir()] == ["slow"]


def test_a_worker_that_dies_is_an_error_and_not_the_end(work):
    with pytest.raises(BrokenProcessPool):
        run(work, "x", isolate=True)
    assert list((work / "work/stage").glob("[!.]*")) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_the_process_that_started_them(root: Path, number: int):
    environment = {**os.environ, "PYTHONPATH": str(root), "DREAMTALK_WORKERS": "2"}
    with subprocess.Popen([sys.executable, "-c", LINGER], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        workers = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        parent.send_signal(number)
        _, left = psutil.wait_procs(workers, timeout=60)
        for process in left:
            process.kill()
    assert not left


def test_shards_of_earlier_inputs_are_removed(work):
    run(work, "abc")
    run(work, "b")
    assert [folder.name for folder in (work / "work/stage").iterdir()] == ["b"]


def test_keys_and_code(tmp_path):
    assert shards.shard_key({"a": 1, "b": 2}) == shards.shard_key({"b": 2, "a": 1}) != shards.shard_key({"a": 1})
    (tmp_path / "m.py").write_text("x = 1")
    before = shards.code_version(tmp_path)
    (tmp_path / "m.py").write_text("x = 2")
    assert shards.code_version(tmp_path) != before


def test_split_in_shards():
    assert shards.split_in_shards([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]


def test_workers(monkeypatch):
    monkeypatch.setenv("DREAMTALK_WORKERS", "7")
    assert shards.workers() == 7
    monkeypatch.setenv("DREAMTALK_WORKERS", "")
    assert shards.workers() == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("given", ["0", "-1", "abc", "1.5"])
def test_a_wrong_number_of_workers_is_one_clear_line(work, monkeypatch, capsys, given):
    monkeypatch.setenv("DREAMTALK_WORKERS", given)
    with pytest.raises(SystemExit), one_line_errors("stage"):
        run(work, "ab")
    assert capsys.readouterr().err.startswith(f"stage: DREAMTALK_WORKERS is '{given}': must be a count of processes")
