"""One flow at a time, and a killed one keeps nobody waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.workspace import WorkspaceBusy, borrowed, held, set_parameters
from stages.program import STUDY, one_line_errors

HOLD = """
from flows.workspace import held
with held("ablate long", print):
    print("holding", flush=True)
    input()
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    return tmp_path


def test_a_second_flow_is_told_who_holds_the_workspace(workspace: Path, root: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, "-c", HOLD], env=environment, **pipes) as other:
        assert other.stdout.readline() == "holding\n"
        with pytest.raises(WorkspaceBusy, match=rf"ablate long \(process {other.pid}\) works on"), held("me", print):
            pass
        other.kill()
        other.wait()
        with held("reproduce", print):
            pass


def test_two_flows_of_one_process_are_kept_apart_too(workspace: Path) -> None:
    with held("prepare", print), pytest.raises(WorkspaceBusy, match="prepare"), held("reproduce", print):
        pass
    with held("reproduce", print):
        pass


def test_a_lock_of_dvc_that_only_the_study_made_is_gone_again(workspace: Path) -> None:
    told: list[str] = []
    with held("ablate", told.append), borrowed(told.append):
        (workspace / "dvc.lock").write_text("stages: {}\n")
        (workspace / "out.txt").write_text("made")
    assert not (workspace / "dvc.lock").exists() and (workspace / "out.txt").exists()
    assert len(told) == 1 and "outputs stay" in told[0]


def test_outputs_are_put_back(dvc_repo: Path) -> None:
    repro = [sys.executable, "-m", "dvc", "repro", "-q"]
    subprocess.run(repro, check=True)
    lock = (dvc_repo / "dvc.lock").read_bytes()
    with held("ablate", print), borrowed(print):
        set_parameters(b"word: other\n")
        subprocess.run(repro, check=True)
        assert (dvc_repo / "second.txt").read_text() == "other"
    assert (dvc_repo / "second.txt").read_text() == "hello"
    assert (dvc_repo / "dvc.lock").read_bytes() == lock


@pytest.fixture
def killed_study(workspace: Path) -> Iterator[Path]:
    """Where a study was killed at a point, with outputs of it."""
    (workspace / "dvc.lock").write_text("before")
    killed = borrowed(print)
    killed.__enter__()
    set_parameters(b"seed: 1\n")
    (workspace / "dvc.lock").write_text("made")
    yield workspace
    killed.gen.close()  # here, not where the garbage collector would put back


def test_no_stage_runs_among_the_changes_of_a_study_but_its_own(
    killed_study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors("crop"):
        (killed_study / "made").touch()
    assert ended.value.code == 2 and not (killed_study / "made").exists()
    assert "crop: params.yaml and outputs are those of a study" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setenv(STUDY, "mine")
        with one_line_errors("crop"):
            pass
    (killed_study / "params.yaml").write_text("seed: 2\n")
    with held("reproduce", print), one_line_errors("crop"):
        (killed_study / "made").touch()
    assert (killed_study / "made").exists()


def test_work_that_goes_on_after_a_killed_study_stays_as_a_whole(killed_study: Path) -> None:
    (killed_study / "params.yaml").write_text("seed: 2\n")
    told: list[str] = []
    with held("reproduce", told.append):
        assert (killed_study / "dvc.lock").read_text() == "made"
    assert len(told) == 1 and "params.yaml was edited" in told[0] and "dvc.lock and the outputs" in told[0]
