from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from flows.stage_process import StageFailed, allow_starts, run_stage, stop_all
from tests.flows.in_background import running


def test_outcomes_follow_what_dvc_says(dvc_repo: Path) -> None:
    lines: list[str] = []
    assert run_stage("first", lines.append).outcome == "ran"
    assert "writing first.txt" in lines
    assert run_stage("first", lines.append).outcome == "unchanged"
    (dvc_repo / "first.txt").unlink()
    assert run_stage("first", lines.append).outcome == "restored"
    assert (dvc_repo / "first.txt").read_text() == "hello"


def test_a_failed_stage_raises_with_its_own_words(dvc_repo: Path) -> None:
    (dvc_repo / "params.yaml").write_text("word: fail\n")
    with pytest.raises(StageFailed, match="the word is fail"):
        run_stage("first", lambda line: None)


def test_stop_all_leaves_no_process_and_no_lock(dvc_repo: Path) -> None:
    (dvc_repo / "params.yaml").write_text("word: sleep\n")
    thread, failures, _ = running("first")
    while not (dvc_repo / "started").exists():
        time.sleep(0.05)
    children = [c for c in psutil.Process().children(recursive=True) if "guard.py" not in " ".join(c.cmdline())]
    stop_all()
    thread.join(20)
    assert failures and not thread.is_alive()
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    allow_starts()
    (dvc_repo / "params.yaml").write_text("word: again\n")
    assert run_stage("first", lambda line: None).outcome == "ran"
