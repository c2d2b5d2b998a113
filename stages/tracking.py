"""The one place that talks to MLflow: a run per stage and variant, and the same facts as files among the outputs.

A stage that DVC restores from its cache runs no code, so what MLflow shows must also lie in files:
``metrics.json`` (final numbers), ``history.parquet`` (curves), ``run.json`` (what ran). They hold no time and no
machine, so equal work gives equal bytes.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from filelock import FileLock, Timeout
from mlflow.entities import Metric

from stages.files import atomic_path, write_json
from stages.params import Params
from stages.program import STUDY
from stages.shards import WORK, shard_key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)  # when it starts and stops is no news
HOME = Path("mlflow")
RUNNING = WORK / "runs"  # a file for each run that a process of this workspace is at, locked while the process lives
# Set in the environment of stages by the flow that runs them; they become tags and change no output.
FLOW_RUN, POINT = "DREAMTALK_FLOW_RUN", "DREAMTALK_POINT"
REFUSED = re.compile(r"[^\w\-. :/]")  # by MLflow, in a name
HISTORY = pa.schema([("step", pa.int64()), ("metric", pa.string()), ("value", pa.float64())])


class StageRun:
    """What a stage says about its run; see :func:`stage_run`."""

    def __init__(self, out: Path | None = None) -> None:
        self.metrics: dict[str, float] = {}
        self._out = out
        self._history: list[tuple[int, str, float]] = []
        self._sent = 0

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve; names are namespaced, as in "train/loss"."""
        self._history += [(int(step), name, float(value)) for name, value in values.items()]
        if len(self._history) - self._sent >= 100:
            self.flush()

    def timing(self, step: int, values: Mapping[str, float]) -> None:
        """Points of curves that differ from run to run: MLflow keeps them, history.parquet does not."""
        now = mlflow.utils.time.get_current_time_millis()
        points = [Metric(name, float(value), now, int(step)) for name, value in values.items()]
        mlflow.MlflowClient().log_batch(mlflow.active_run().info.run_id, metrics=points)

    def summary(self, values: Mapping[str, float]) -> None:
        """Final numbers: they become metrics.json and the run's metrics."""
        self.metrics |= {name: float(value) for name, value in values.items()}

    def figure(self, name: str, figure: Figure) -> None:
        """Keep a figure with the run, and among the stage's outputs if there is a folder of them."""
        if self._out is None:
            mlflow.log_figure(figure, f"figures/{name}.png")
            return
        path = self._out / "figures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Software": None})  # without the program's version: equal figures, equal bytes
        mlflow.log_artifact(str(path), "figures")

    def table(self, name: str, frame: pd.DataFrame) -> None:
        mlflow.log_table(frame.astype(object).where(frame.notna(), None), f"tables/{name}.json")

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Keep a file, or all of a folder, with the run."""
        (mlflow.log_artifacts if path.is_dir() else mlflow.log_artifact)(str(path), folder)

    def dataset(self, name: str, frame: pd.DataFrame, source: Path) -> None:
        """Declare which table this run worked on; MLflow shows its name, size and digest."""
        with warnings.catch_warnings():  # its advice on integer columns and local files is not for this table
            warnings.simplefilter("ignore")
            mlflow.log_input(mlflow.data.from_pandas(frame, source=str(source), name=name), context=name)

    def flush(self) -> None:
        run = mlflow.active_run()
        now = mlflow.utils.time.get_current_time_millis()
        points = [Metric(name, value, now, step) for step, name, value in self._history[self._sent :]]
        client = mlflow.MlflowClient()
        for start in range(0, len(points), 1000):
            client.log_batch(run.info.run_id, metrics=points[start : start + 1000])
        self._sent = len(self._history)

    def history(self) -> pd.DataFrame:
        return pd.DataFrame(self._history, columns=HISTORY.names)


class SilentRun(StageRun):
    """The run of a process that only helps another one: what it says is heard nowhere."""

    def flush(self) -> None: ...

    def timing(self, step: int, values: Mapping[str, float]) -> None: ...

    def figure(self, name: str, figure: Figure) -> None: ...

    def table(self, name: str, frame: pd.DataFrame) -> None: ...

    def artifact(self, path: Path, folder: str | None = None) -> None: ...

    def dataset(self, name: str, frame: pd.DataFrame, source: Path) -> None: ...


@contextmanager
def stage_run(
    stage: str,
    params: Params,
    sections: list[str],
    *,
    variant: str | None = None,
    out: Path | None = None,
    metrics: Path | None = None,
) -> Iterator[StageRun]:
    """Open the MLflow run of a stage; close it with its files written.

    Args:
        stage: the stage's name in dvc.yaml.
        params: all parameters; those in `sections` are logged, flattened to dotted names.
        variant: the row of the stage's matrix. Variants are flat siblings, told apart by tags.
        out: folder that gets history.parquet, run.json and the figures; None writes none of them.
        metrics: file that gets the summary.
    """
    connect(params)
    end_left_runs()
    options = {
        "run_name": run_name(stage, variant),
        "tags": _tags(stage, variant, params),
        "description": describe(stage, variant),
        "log_system_metrics": True,
    }
    with ExitStack() as afterwards, mlflow.start_run(**options) as active:
        afterwards.enter_context(_shown_alive(active.info.run_id))
        chosen = flatten({s: getattr(params, "validate_" if s == "validate" else s) for s in sections})
        mlflow.log_params(
            {"profile": params.profile, "seed": params.seed, "training_seed": params.training_seed, **chosen}
        )
        run = StageRun(out)
        yield run
        run.flush()
        if run.metrics:
            mlflow.log_metrics(run.metrics)
        if metrics is not None:
            write_json(dict(sorted(run.metrics.items())), metrics)
        if out is not None:
            _write_history(run.history(), out / "history.parquet")
            write_json(
                {"stage": stage, "variant": variant, "profile": params.profile, "params": chosen}, out / "run.json"
            )


@contextmanager
def _shown_alive(run_id: str) -> Iterator[None]:
    """Others see that this process is at the run; the system takes the lock from it however it ends."""
    RUNNING.mkdir(parents=True, exist_ok=True)
    path = (RUNNING / run_id).resolve()
    with FileLock(path):
        try:
            yield
        finally:
            path.unlink()


def end_left_runs(patience_s: float = 0.0) -> None:
    """Mark as KILLED the runs of this workspace whose process has died without a word (SIGKILL, no memory).

    Args:
        patience_s: for a process that is just dying; those that live are not waited for longer, all in all.
    """
    deadline = time.monotonic() + patience_s
    for path in RUNNING.resolve().glob("*"):
        lock = FileLock(path, timeout=max(0.0, deadline - time.monotonic()))
        # A store that does not answer, or is not the run's, gets another chance when the next stage begins.
        with suppress(Timeout, mlflow.MlflowException), lock:
            client = mlflow.MlflowClient(_store())
            if client.get_run(path.name).info.status == "RUNNING":
                client.set_terminated(path.name, "KILLED")
            path.unlink()


def experiment_name(params: Params) -> str:
    return f"dreamtalk-{params.profile}"


def connect(params: Params) -> None:
    """Point MLflow at MLFLOW_TRACKING_URI, or at the SQLite store below mlflow/; choose the profile's experiment.

    One that is not there is made; one that was deleted is restored with its runs, and a line says so.
    """
    ours = not os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(_store())
    name = experiment_name(params)
    experiment = mlflow.get_experiment_by_name(name)
    try:
        if experiment is None:
            mlflow.create_experiment(name, (HOME / "artifacts").resolve().as_uri() if ours else None)
        elif experiment.lifecycle_stage == "deleted":
            mlflow.MlflowClient().restore_experiment(experiment.experiment_id)
            print(f"MLflow: experiment {name} had been deleted; it is restored, with its runs", flush=True)
    except mlflow.MlflowException:
        experiment = mlflow.get_experiment_by_name(name)
        if experiment is None or experiment.lifecycle_stage == "deleted":  # else a parallel stage did it
            raise
    mlflow.set_experiment(name)
    mlflow.set_experiment_tag("mlflow.experimentKind", "custom_model_development")  # else its pages are those for chats


def _store() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(HOME / 'mlflow.db').resolve()}"


def run_name(stage: str, variant: str | None) -> str:
    """The name under which a run sorts: "train_denoiser/full", and "train_denoiser/full/..." within a study."""
    return "/".join(part for part in (stage, variant, os.environ.get(POINT)) if part)


def metric_name(name: str) -> str:
    """A number's name in MLflow, wherever it is logged: "intensity_1" for "intensity@1"."""
    return REFUSED.sub("_", name)


def context_tags(params: Params) -> dict[str, str]:
    """Where and as part of what this process works: profile, corpus, commit, flow run, study and its point."""
    commit = _git("rev-parse", "--short", "HEAD")
    return {
        "profile": params.profile,
        "corpus": params.ingest.source,
        "reproduction": shard_key(params.model_dump(mode="json"), commit)[:8],
        "git_commit": commit + ("-dirty" if _git("status", "--porcelain", "--untracked-files=no") else ""),
        "training_seed": str(params.training_seed),
        "flow_run": os.environ.get(FLOW_RUN, ""),
        "study": os.environ.get(STUDY, ""),
        "point": os.environ.get(POINT, ""),
    }


def describe(stage: str, variant: str | None) -> str:
    """What a run is, in the words of dvc.yaml."""
    text = f"Stage `{stage}`" + (f", variant `{variant}`" if variant else "")
    if study := os.environ.get(STUDY):
        text += f", in the study `{study}` at `{os.environ.get(POINT)}`"
    return f"{text}: {_purpose(stage)}." if _purpose(stage) else f"{text} of the reproduction (see dvc.yaml)."


def _tags(stage: str, variant: str | None, params: Params) -> dict[str, str]:
    tags = {"stage": stage, "variant": variant or "", "dvc_stage": os.environ.get("DVC_STAGE", "")}
    return {name: value for name, value in {**tags, **context_tags(params)}.items() if value}


@cache
def _purpose(stage: str) -> str:
    """The stage's `desc` in dvc.yaml; "" without one."""
    try:
        entry = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]
    except (OSError, KeyError):
        return ""
    return entry.get("do", entry).get("desc", "")


def _git(*arguments: str) -> str:
    result = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested parameters by dotted names."""
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: leaf
        for name, item in value.items()
        for key, leaf in flatten(item, f"{prefix}.{name}" if prefix else name).items()
    }


def _write_history(history: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as tmp:
        table = pa.Table.from_pandas(history, schema=HISTORY, preserve_index=False)
        pq.write_table(table, tmp)
