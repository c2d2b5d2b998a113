"""How the runs of stages end in MLflow, however their processes end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from stages import tracking
from stages.params import load

STAGE = """
import signal, sys, time
from pathlib import Path
from stages import params, tracking
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells let their background jobs ignore it
with tracking.stage_run(sys.argv[1], params.load(), ["training"]):
    Path(sys.argv[1]).touch()
    time.sleep(600)
"""


@pytest.fixture
def workspace(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "params.yaml").write_bytes((root / "params.yaml").read_bytes())
    (tmp_path / "mlflow").mkdir()
    return tmp_path


def begun(name: str) -> subprocess.Popen:
    """A stage in the midst of its run."""
    stage = subprocess.Popen([sys.executable, "-c", STAGE, name])
    while not Path(name).exists():
        assert stage.poll() is None
    return stage


def statuses() -> dict[str, str]:
    client = MlflowClient(f"sqlite:///{Path('mlflow/mlflow.db').resolve()}")
    (experiment,) = [e.experiment_id for e in client.search_experiments() if e.name == "dreamtalk-demo"]
    return {run.info.run_name: run.info.status for run in client.search_runs([experiment])}


def test_the_run_of_a_killed_stage_is_ended_by_the_next_stage_and_living_ones_go_on(workspace: Path) -> None:
    killed, living = begun("killed"), begun("living")
    killed.kill()
    killed.wait()
    assert statuses() == {"killed": "RUNNING", "living": "RUNNING"}
    with tracking.stage_run("next", load(), ["training"]):
        assert statuses() == {"killed": "KILLED", "living": "RUNNING", "next": "RUNNING"}
    living.send_signal(signal.SIGINT)
    living.wait(60)
    tracking.end_left_runs()
    assert statuses() == {"killed": "KILLED", "living": "FAILED", "next": "FINISHED"}
    assert not list(tracking.RUNNING.iterdir())


def test_a_run_in_another_store_is_left_alone_until_that_store_is_back(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = begun("killed")
    killed.kill()
    killed.wait()
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{workspace}/other.db")
        tracking.end_left_runs()
    assert statuses() == {"killed": "RUNNING"}
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    tracking.end_left_runs()
    assert statuses() == {"killed": "KILLED"}


def test_an_experiment_deleted_in_the_browser_is_restored_with_its_runs(
    workspace: Path, capsys: pytest.CaptureFixture
) -> None:
    with tracking.stage_run("before", load(), ["training"]):
        pass
    client = MlflowClient()
    client.delete_experiment(client.get_experiment_by_name("dreamtalk-demo").experiment_id)
    capsys.readouterr()
    with tracking.stage_run("after", load(), ["training"]):
        pass
    assert statuses() == {"before": "FINISHED", "after": "FINISHED"}
    assert capsys.readouterr().out.count("dreamtalk-demo had been deleted; it is restored") == 1
