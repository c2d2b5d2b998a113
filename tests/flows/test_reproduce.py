from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun, CrashedRun
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending
from prefect.testing.utilities import prefect_test_harness

from flows import artifacts
from flows import reproduce as module
from flows.graph import stage_graph
from flows.reproduce import reproduce
from flows.stage_process import StageFailed


@pytest.fixture(scope="module")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=300):
        yield


def test_graph_lists_needs_before_what_needs_them(root: Path) -> None:
    graph = stage_graph(str(root))
    seen: set[str] = set()
    for stage, needs in graph.items():
        assert set(needs.needs) <= seen
        seen.add(stage)
    assert graph["crop"].needs == ("ingest",)
    assert {"train_denoiser@full", "train_denoiser@no_lip_expert", "train_denoiser@uncond_lip_expert"} <= seen


def test_flow_runs_the_graph_and_shows_the_cache(dvc_repo: Path, prefect_server: None) -> None:
    rows = reproduce()
    assert [(row["stage"], row["outcome"]) for row in rows] == [("first", "ran"), ("second", "ran")]
    state = reproduce(return_state=True)
    assert [row["outcome"] for row in state.result()] == ["unchanged", "unchanged"]
    with get_client(sync_client=True) as client:
        of_this_flow = FlowRunFilter(id=FlowRunFilterId(any_=[state.state_details.flow_run_id]))
        runs = client.read_task_runs(flow_run_filter=of_this_flow)
    assert {run.name: run.state.name for run in runs} == {"first": "Cached", "second": "Cached"}


KILLED_ONCE = """
import os, signal, sys
from pathlib import Path
from mlflow import MlflowClient
from stages import params, tracking
begun = Path("begun")
if not begun.exists():
    with tracking.stage_run("crop", params.load(), ["crop"]):
        begun.write_text(tracking.mlflow.active_run().info.run_id)
        os.kill(os.getpid(), signal.SIGKILL)
Path(sys.argv[1]).write_text(MlflowClient("sqlite:///mlflow/mlflow.db").get_run(begun.read_text()).info.status)
"""


def test_the_mlflow_run_of_a_killed_stage_has_ended_before_the_next_try(
    dvc_repo: Path, root: Path, prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (dvc_repo / "write.py").write_text(KILLED_ONCE)
    (dvc_repo / "params.yaml").write_text((root / "params.yaml").read_text())
    stages = dvc_repo / "dvc.yaml"
    stages.write_text(stages.read_text().replace("word", "seed"))
    (dvc_repo / "mlflow").mkdir()
    reproduce(["first"])
    assert (dvc_repo / "first.txt").read_text() == "KILLED"


BESIDE = """
  a{i}:
    cmd: {python} write.py a{i}.txt
    deps: [write.py, first.txt]
    outs: [a{i}.txt]
"""


def test_the_flow_and_dvc_leave_the_same_lock(dvc_repo: Path, prefect_server: None) -> None:
    stages = dvc_repo / "dvc.yaml"
    stages.write_text(stages.read_text() + "".join(BESIDE.format(i=i, python=sys.executable) for i in (2, 1, 0)))
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    expected = Path("dvc.lock").read_bytes()
    for _ in range(2):  # the second time with DVC's cache
        subprocess.run(["git", "clean", "-fdxq", "-e", ".dvc"], check=True)
        reproduce(parallel=4)
        assert Path("dvc.lock").read_bytes() == expected


def test_a_failed_stage_fails_the_flow_and_keeps_the_rest(dvc_repo: Path, prefect_server: None) -> None:
    reproduce()
    (dvc_repo / "params.yaml").write_text("word: fail\n")
    with pytest.raises(StageFailed, match="the word is fail"):
        reproduce()
    (dvc_repo / "params.yaml").write_text("word: hello\n")
    assert [row["outcome"] for row in reproduce()] == ["restored", "unchanged"]


@pytest.mark.parametrize("outcome, warnings", [("restored", 1), ("ran", 1), ("unchanged", 0)])
def test_a_sync_that_fails_is_a_warning(dvc_repo: Path, monkeypatch, outcome: str, warnings: int) -> None:
    logger = Mock()
    monkeypatch.setattr(module, "get_run_logger", lambda: logger)
    monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: Mock(returncode=1, stderr="no"))
    module.sync_runs([{"outcome": "unchanged"}, {"outcome": outcome}])
    assert logger.warning.call_count == warnings


@pytest.mark.parametrize(
    "state, error", [(Crashed(), CrashedRun), (Cancelled(), CancelledRun), (Pending(), RuntimeError)]
)
def test_only_completed_stages_make_a_flow_complete(state: State, error: type[Exception]) -> None:
    module.raise_unless_complete({"first": Completed()})
    with pytest.raises(error):
        module.raise_unless_complete({"zeroth": Pending(), "first": state, "second": Completed()})


def test_what_an_absent_server_kept_from_running_is_submitted_again(root: Path) -> None:
    graph = stage_graph(str(root))
    assert module.not_begun(graph, {}) == list(graph)
    states: dict[str, State] = dict.fromkeys(graph, Pending())
    states |= {"ingest": Completed(), "crop": Completed()}
    assert module.not_begun(graph, states) == [name for name in graph if name not in {"ingest", "crop"}]
    assert module.not_begun(graph, states | {"crop": Failed()}) == []


def test_an_artifact_that_cannot_be_kept_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = Mock()
    monkeypatch.setattr(artifacts, "get_run_logger", lambda: logger)
    monkeypatch.setattr(artifacts, "create_table_artifact", Mock(side_effect=OSError("no server")))
    artifacts.stages_table([])
    assert "no server" in logger.warning.call_args.args


def test_an_unknown_stage_is_named(dvc_repo: Path, prefect_server: None) -> None:
    with pytest.raises(ValueError, match="no such stage: third"):
        reproduce(stages=["third"])
