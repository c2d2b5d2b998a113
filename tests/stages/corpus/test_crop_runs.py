"""The stage as a program: two runs at once, a full disk, a killed run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stages import tables
from stages.corpus.media import Clips
from tests.stages.corpus.tiny_videos import item

pytestmark = pytest.mark.slow  # each run imports mediapipe and MLflow anew


@pytest.fixture
def project(tmp_path: Path, root: Path, film) -> Path:
    """A project whose ingest has run: six short videos."""
    shutil.copyfile(root / "params.yaml", tmp_path / "params.yaml")
    rows = [item(film(f"{name}.mp4", seconds=1.2)) for name in "abcdef"]
    tables.write(tables.from_rows(rows, tables.SOURCES), tables.SOURCES, tmp_path / "data/raw/sources.parquet")
    return tmp_path


def start(project: Path, root: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(root), "DREAMTALK_WORKERS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.Popen(
        [sys.executable, "-m", "stages.corpus.crop"],
        cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def until(condition, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_two_runs_at_once_do_the_work_once(project, root):
    runs = [start(project, root) for _ in range(2)]
    outputs = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    said = "".join(out for out, _ in outputs)
    assert "another run is working on the same data; waiting" in said
    assert "6 of 6 shards are done already" in said
    assert Clips(project / "data/clips").ids == list("abcdef")


def test_a_killed_run_goes_on_where_it_was(project, root):
    run = start(project, root)
    until(lambda: len(list((project / ".work/crop").glob("[!.]*"))) >= 2)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    out, error = (again := start(project, root)).communicate(timeout=300)
    assert again.returncode == 0, error
    assert "of 6 shards are done already" in out
    assert Clips(project / "data/clips").ids == list("abcdef")


def test_ctrl_c_is_one_line_and_leaves_no_worker(project, root):
    run = start(project, root)
    until(lambda: len(list((project / ".work/crop").glob("[!.]*"))) >= 1)
    workers = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGINT)
    _, error = run.communicate(timeout=300)
    assert run.returncode == 130 and "Traceback" not in error, error
    assert "crop: interrupted; type the command again and it goes on where it was" in error
    assert psutil.wait_procs(workers, timeout=60)[1] == []


def test_a_full_disk_is_one_line_and_loses_nothing(project, root):
    work = project / ".work"
    work.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(work)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        out, error = (run := start(project, root)).communicate(timeout=300)
        lines = [line for line in error.splitlines() if line.startswith("crop:")]
        assert run.returncode == 2 and len(lines) == 1, error
        assert "the disk is full while writing" in lines[0] and "goes on where it was" in lines[0]
        done = [path.name for path in (work / "crop").glob("[!.]*")]
        assert done and len(done) < 6 and not (project / "data/clips").exists()
        subprocess.run(["mount", "-o", "remount,size=20m", str(work)], check=True)
        out, error = (run := start(project, root)).communicate(timeout=300)
        assert run.returncode == 0 and f"{len(done)} of 6 shards are done already" in out, error
    finally:
        subprocess.run(["umount", str(work)], check=True)
    assert Clips(project / "data/clips").ids == list("abcdef")
