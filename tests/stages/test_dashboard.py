from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import torch
import yaml

from dreamtalk_models import checkpoints
from dreamtalk_models.style_classifier import StyleClassifier
from stages import dashboard, program, registry, tracking
from stages.params import ParamsError, load


@pytest.fixture
def workspace(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a clone has after `dvc pull`: dvc.lock and outputs, and no store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1000")
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    for folder in ("mlflow", "metrics", "models/style_classifier/figures", "metrics/evaluate"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    out = tmp_path / "models/style_classifier"
    checkpoints.save(StyleClassifier(motion_dim=6, classes=4), out / "weights.safetensors")
    (out / "figures/confusion.png").write_bytes(b"picture")
    pd.DataFrame({"step": [1, 2], "metric": ["train/loss"] * 2, "value": [2.0, 1.0]}).to_parquet(
        out / "history.parquet"
    )
    (tmp_path / "metrics/style_classifier.json").write_text('{"test/accuracy": 0.5}')
    entry = {
        "cmd": "python -m stages.training.style_classifier",
        "params": {"params.yaml": {"seed": 0, "style_classifier": {"steps": 3}}},
        "outs": [
            {"path": "models/style_classifier", "md5": "a"},
            {"path": "metrics/style_classifier.json", "md5": "b"},
        ],
    }
    away = {"cmd": "python -m stages.corpus.crop", "outs": [{"path": "data/clips", "md5": "c"}]}
    lock = {"schema": "2.0", "stages": {"train_style_classifier": entry, "crop": away}}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(lock))
    return tmp_path


def runs() -> list:
    experiment = mlflow.get_experiment_by_name("dreamtalk-demo")
    return mlflow.MlflowClient().search_runs([experiment.experiment_id])


def test_a_fresh_clone_gets_its_runs_once(workspace: Path) -> None:
    assert set(dashboard.sync()) == {"train_style_classifier"}  # crop's output is not here
    assert dashboard.sync() == dashboard.sync()
    (run,) = runs()
    assert run.data.metrics == {"test/accuracy": 0.5, "train/loss": 1.0}
    assert run.data.params == {"seed": "0", "style_classifier.steps": "3"}
    assert run.data.tags["stage"] == "train_style_classifier" and run.data.tags["dvc_lock"]
    assert "which style group" in run.data.tags["mlflow.note.content"]
    assert {item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id, "figures")} == {
        "figures/confusion.png"
    }


def test_what_other_parameters_made_is_not_filed_under_these(workspace: Path) -> None:
    content = yaml.safe_load((workspace / "params.yaml").read_text())
    (workspace / "params.yaml").write_text(yaml.safe_dump(content | {"seed": 1}))
    assert dashboard.sync() == {} and runs() == []
    (workspace / "params.yaml").write_text(yaml.safe_dump(content))
    assert set(dashboard.sync()) == {"train_style_classifier"}


def test_a_studys_outputs_are_not_filed_as_ordinary_ones(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program.BORROWED.parent.mkdir(parents=True)
    program.BORROWED.touch()
    with pytest.raises(ParamsError, match="those of a study"):
        dashboard.sync()
    monkeypatch.setenv(program.STUDY, "seeds")
    assert set(dashboard.sync()) == {"train_style_classifier"}


def test_networks_come_back_as_their_class_at_any_batch_size(workspace: Path) -> None:
    dashboard.sync()
    network = registry.load("dreamtalk-demo-style_classifier")
    assert isinstance(network, StyleClassifier)
    for batch in (1, 5):
        assert network(torch.zeros(batch, 7, 6), torch.zeros(batch, 7, dtype=torch.bool)).shape[0] == batch


def test_best_moves_to_the_better_version_only(workspace: Path) -> None:
    def best() -> str:
        return mlflow.MlflowClient().get_model_version_by_alias("dreamtalk-demo-style_classifier", "best").version

    dashboard.sync()
    for accuracy, version in ((0.4, 1), (0.9, 3)):
        (workspace / "metrics/style_classifier.json").write_text(json.dumps({"test/accuracy": accuracy}))
        lock = yaml.safe_load((workspace / "dvc.lock").read_text())
        lock["stages"]["train_style_classifier"]["outs"][1]["md5"] = str(accuracy)
        (workspace / "dvc.lock").write_text(yaml.safe_dump(lock))
        dashboard.sync()
        assert int(best()) == version


def test_the_run_that_a_stage_logged_itself_is_recognised(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_STAGE", "train_style_classifier")
    metrics = Path("metrics/style_classifier.json")
    with tracking.stage_run("train_style_classifier", load(), ["training"], metrics=metrics) as run:
        run.summary({"test/accuracy": 0.5})
    dashboard.sync()
    (logged,) = runs()
    assert logged.data.tags["dvc_lock"] and "origin" not in logged.data.tags


@pytest.mark.parametrize("broken", ["tag", "set_registered_model_alias", "set_model_version_tag"])
def test_a_sync_that_was_cut_off_is_resumed(workspace: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mlflow.MlflowClient, "set_tag" if broken == "tag" else broken, killed)
        dashboard.sync()
    (run,) = runs()
    assert run.info.status == "FINISHED"
    dashboard.sync()
    (again,) = runs()
    assert again.info.end_time == run.info.end_time and again.data.tags["dvc_lock"]
    client, model = mlflow.MlflowClient(), "dreamtalk-demo-style_classifier"
    (version,) = client.search_model_versions(f"name = '{model}'")
    assert version.run_id == run.info.run_id and version.tags["dvc_lock"] == again.data.tags["dvc_lock"]
    assert client.get_model_version_by_alias(model, "best").version == version.version


def test_two_syncs_at_once_tell_everything_once(workspace: Path, root: Path) -> None:
    command = [sys.executable, "-c", "from stages.dashboard import sync; sync()"]
    both = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(root)}) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    tracking.connect(load())
    assert len(runs()) == 1


IN_THE_MIDST = """
import os, signal
from stages import dashboard
dashboard._tell = lambda record, run: os.kill(os.getpid(), signal.SIGKILL)
dashboard.sync()
"""


def test_what_a_killed_sync_left_is_done_anew(workspace: Path, root: Path) -> None:
    command = [sys.executable, "-c", IN_THE_MIDST]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": str(root)}).returncode == -signal.SIGKILL
    tracking.connect(load())
    (left,) = runs()
    assert left.info.status == "RUNNING"
    others = mlflow.MlflowClient().create_run(
        left.info.experiment_id, tags={"origin": "dvc.lock", "workspace": "other"}
    )
    found = dashboard.sync()
    states = {run.info.run_id: run.info.status for run in runs()}
    assert states == {found["train_style_classifier"]: "FINISHED", others.info.run_id: "RUNNING"}


def test_nothing_to_show_is_said(workspace: Path) -> None:
    (workspace / "dvc.lock").unlink()
    with pytest.raises(FileNotFoundError, match="nothing has run"):
        dashboard.sync()
