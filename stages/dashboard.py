"""What MLflow shows, rebuilt from what DVC keeps: a run for each stage of dvc.lock that no run tells of yet.

A stage that DVC restores runs no code, and a fresh clone has no store at all. Here dvc.lock says what there is, its
digest (tag `dvc_lock`) says whether a run of it exists, and parameters, numbers, curves, tables, pictures, videos and
networks come out of dvc.lock and the outputs. The run that a stage has logged itself is recognised by its numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow
import pandas as pd
import yaml
from mlflow.entities import Run

from stages import registry, tables, tracking
from stages.files import atomic_path, locked
from stages.params import Params, load
from stages.program import refuse_among_a_studys_changes
from stages.shards import WORK, shard_key

LOCK = Path("dvc.lock")
SYNCING = WORK / "sync.lock"
OWN = WORK / "workspace.txt"  # a name for this workspace, however many share one MLflow server
SPLIT = Path("data/split.parquet")
TABLES = ("per_clip.parquet", "sources.parquet", "defects.parquet", "clips.parquet", "quarantine.parquet")
VIDEOS = 3  # of each variant: MLflow plays them; all of them are in generated/
SAME = ("study", "point")
ORIGIN = "dvc.lock"  # tag of the runs that a sync makes


@dataclass(frozen=True)
class Record:
    """One stage as dvc.lock has it.

    Attributes:
        address: "train_denoiser@full"; params: flattened to dotted names; outs: paths.
        digest: of the command and of all hashes: what it is that has been made.
    """

    address: str
    params: dict[str, Any]
    outs: tuple[Path, ...]
    digest: str

    @property
    def stage(self) -> str:
        return self.address.partition("@")[0]

    @property
    def variant(self) -> str | None:
        return self.address.partition("@")[2] or None

    def metrics(self) -> dict[str, float]:
        """The numbers in its metrics files."""
        found: dict[str, float] = {}
        for path in self.outs:
            if path.parts[0] == "metrics" and path.is_file():
                found |= json.loads(path.read_text(encoding="utf-8"))
        return {
            tracking.metric_name(name): float(value) for name, value in found.items() if isinstance(value, (int, float))
        }

    def weights(self) -> Path | None:
        """The trained network among its outputs."""
        return next((out / registry.WEIGHTS for out in self.outs if (out / registry.WEIGHTS).is_file()), None)

    def complete(self) -> bool:
        return all(path.exists() for path in self.outs)


def sync(wanted: Iterable[str] | None = None) -> dict[str, str]:
    """Give every stage of dvc.lock that has its outputs a run in MLflow; call it as often as you like.

    What was made with other parameters than params.yaml has now is left out: it would be filed under these.

    Args:
        wanted: addresses or names of stages; None means all.

    Returns:
        For each stage, the id of its run.

    Raises:
        FileNotFoundError: there is no dvc.lock: nothing has run yet.
        ParamsError: params.yaml is wrong, or a study's.
    """
    refuse_among_a_studys_changes()
    params = load()
    SYNCING.parent.mkdir(exist_ok=True)
    with locked(SYNCING, "sync: another process does the same; waiting for it to end"):
        tracking.connect(params)
        return _sync(params, wanted)


def _sync(params: Params, wanted: Iterable[str] | None) -> dict[str, str]:
    context = tracking.context_tags(params) | {"workspace": _own()}
    tracking.end_left_runs()
    _remove_remains(params)
    known = list(_runs(params, context))
    found: dict[str, str] = {}
    chosen, now = None if wanted is None else set(wanted), tracking.flatten(params)
    for record in records():
        if not record.complete() or (chosen is not None and not chosen & {record.address, record.stage}):
            continue
        if any(now.get(name, value) != value for name, value in record.params.items()):
            continue
        run = _known(record, known)
        found[record.address] = run_id = run.info.run_id if run else _retell(record, context)
        if run is None or "dvc_lock" not in run.data.tags:
            _register(record, run_id, params, context)
            mlflow.MlflowClient().set_tag(run_id, "dvc_lock", record.digest)  # last: what is cut off before is resumed
    return found


def records(lock: Path = LOCK) -> list[Record]:
    """The stages of dvc.lock. Raises FileNotFoundError if there is none."""
    if not lock.is_file():
        raise FileNotFoundError(f"{lock} is missing: nothing has run here yet (make repro)")
    entries = yaml.safe_load(lock.read_text(encoding="utf-8")).get("stages", {})
    return [
        Record(
            address,
            tracking.flatten(entry.get("params", {}).get("params.yaml", {})),
            tuple(Path(out["path"]) for out in entry.get("outs", [])),
            shard_key(entry)[:12],
        )
        for address, entry in entries.items()
    ]


def _own() -> str:
    if not OWN.is_file():
        with atomic_path(OWN) as tmp:
            tmp.write_text(uuid4().hex[:12], encoding="utf-8")
    return OWN.read_text(encoding="utf-8")


def _remove_remains(params: Params) -> None:
    """Delete the runs that a killed sync of this workspace was at; no other one works now, for it holds the lock."""
    experiment = mlflow.get_experiment_by_name(tracking.experiment_name(params))
    client = mlflow.MlflowClient()
    left = f"attributes.status = 'RUNNING' and tags.origin = '{ORIGIN}' and tags.workspace = '{_own()}'"
    for run in client.search_runs([experiment.experiment_id], left):
        client.delete_run(run.info.run_id)


def _runs(params: Params, context: dict[str, str]) -> Iterator[Run]:
    """The experiment's runs of this study and point (or of none), newest first."""
    experiment = mlflow.get_experiment_by_name(tracking.experiment_name(params))
    client, token = mlflow.MlflowClient(), None
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
        for run in page:
            if run.info.status == "FINISHED" and all(run.data.tags.get(t, "") == context[t] for t in SAME):
                yield run
        if not (token := page.token):
            return


def _known(record: Record, runs: list[Run]) -> Run | None:
    """The run of this very record, else the newest that the stage has logged itself, with the same numbers."""
    of_stage = [run for run in runs if run.data.tags.get("dvc_stage") == record.address]
    for run in of_stage:
        if run.data.tags.get("dvc_lock") == record.digest:
            return run
    return next((run for run in of_stage if "dvc_lock" not in run.data.tags and _agrees(record, run)), None)


def _agrees(record: Record, run: Run) -> bool:
    logged, params = run.data.metrics, run.data.params
    numbers = all(logged[name] == value for name, value in record.metrics().items() if name in logged)
    return numbers and all(_same(params[name], value) for name, value in record.params.items() if name in params)


def _same(logged: str, value: Any) -> bool:
    try:
        return float(logged) == float(value)
    except (TypeError, ValueError):
        return logged == str(value)


def _retell(record: Record, context: dict[str, str]) -> str:
    """A new run that tells what the outputs say; its id."""
    tags = {"stage": record.stage, "variant": record.variant or "", "dvc_stage": record.address, "origin": ORIGIN}
    with mlflow.start_run(
        run_name=tracking.run_name(record.stage, record.variant),
        tags={name: value for name, value in {**context, **tags}.items() if value},
        description=tracking.describe(record.stage, record.variant),
        log_system_metrics=False,
    ) as run:
        _tell(record, tracking.StageRun())
    return run.info.run_id


def _tell(record: Record, run: tracking.StageRun) -> None:
    """Log what the outputs say: parameters, numbers, curves, tables, pictures, pages, videos, the data set."""
    mlflow.log_params(record.params)
    if numbers := record.metrics():
        mlflow.log_metrics(numbers)
    for out in record.outs:
        files = sorted(out.rglob("*")) if out.is_dir() else [out]
        for path in [f for f in files if f.suffix == ".mp4"][:VIDEOS]:
            run.artifact(path, "videos")
        for path in files:
            if path.suffix in {".png", ".html"}:
                run.artifact(path, "figures" if path.suffix == ".png" else None)
            elif path.name == "history.parquet":
                for point in pd.read_parquet(path).itertuples():
                    run.log(point.step, {point.metric: point.value})
            elif path.name in TABLES and len(frame := pd.read_parquet(path)):
                run.table(path.stem, frame)
    run.flush()
    if SPLIT.is_file() and record.stage not in {"ingest", "crop", "split"}:
        run.dataset("split", tables.read(SPLIT), SPLIT)


def _register(record: Record, run_id: str, params: Params, context: dict[str, str]) -> None:
    weights = record.weights()
    if weights is None:
        return
    tags = {
        name: context[name] for name in ("git_commit", "study", "point", "training_seed", "corpus") if context[name]
    }
    tags |= {"variant": record.variant or "", "dvc_lock": record.digest}
    registry.register(f"{tracking.experiment_name(params)}-{weights.parts[1]}", weights, record.metrics(), tags, run_id)
