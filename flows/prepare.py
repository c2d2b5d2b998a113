"""New video into the corpus as a Prefect flow: shard by shard, on this machine or on a Dask cluster."""

from __future__ import annotations

import filecmp
import shutil
from pathlib import Path
from typing import Annotated

import pandas as pd
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows import workspace
from flows.artifacts import shown
from flows.graph import survey, with_needs
from flows.reproduce import PARALLEL, THREADS, Parallel, TimeLimit, run_graph, sync_runs
from stages import params as parameters
from stages.corpus.reasons import kind
from stages.params import EXECUTOR, ParamsError

PREPARED = ["validate", "fit", "audio"]
CLIPS = Path("data/clips/clips.parquet")
QUARANTINE = Path("data/clips/quarantine.parquet")

Executor = Annotated[
    str | None,
    Field(
        pattern=r"^(processes|(tcp|tls|ucx)://\S+:\d+)$",
        description="processes (of this machine), or a Dask scheduler, tcp://host:8786; none: as params.yaml says",
    ),
]


def _name() -> str:
    """What is taken in, as in "new_videos"."""
    return Path(flow_run.parameters.get("videos") or "what lies there").name


@flow(name="prepare", flow_run_name=_name, task_runner=ThreadPoolTaskRunner(max_workers=THREADS))
def prepare(
    videos: str | None = None, executor: Executor = None, parallel: Parallel = PARALLEL, time_limit_h: TimeLimit = None
) -> list[dict]:
    """Take in new video, then make clips, contracts, coefficients and sound features; only new shards cost time.

    Args:
        videos: folder of new video files; they are copied into `ingest.folder`. None: what lies there already.

    Returns:
        One row per stage, as of the flow `reproduce`.

    Raises:
        ParamsError: the corpus of params.yaml is not a folder of videos, so that nothing can be added to it.
        FileExistsError: another file has the name of a new one; nothing is copied then.
        WorkspaceBusy: another flow works here.
    """
    with workspace.held("prepare", get_run_logger().warning):
        if videos is not None:
            take_in(videos)
        graph, unchanged = survey()
        env = {EXECUTOR: executor} if executor else {}
        rows = run_graph(with_needs(graph, PREPARED), unchanged, parallel, time_limit_h, env)
        sync_runs(rows)
    with shown():
        create_markdown_artifact(_corpus(), key="corpus", description="What the corpus holds, and what was refused")
    return rows


@task(task_run_name="take in {folder}", cache_policy=NO_CACHE)
def take_in(folder: str) -> int:
    """Copy the files below `folder` into the corpus' own folder; returns how many were new."""
    ingest = parameters.load().ingest
    if ingest.source != "folder":
        raise ParamsError(f"ingest.source is {ingest.source}; new video can be added to a corpus of source `folder`")
    source, target = Path(folder).expanduser(), Path(ingest.folder)
    if not source.is_dir():
        raise NotADirectoryError(f"{source} is not a folder of videos")
    pairs = [(path, target / path.relative_to(source)) for path in sorted(source.rglob("*")) if path.is_file()]
    new = [(path, place) for path, place in pairs if not place.exists()]
    for path, place in pairs:
        if place.exists() and not filecmp.cmp(path, place, shallow=False):
            raise FileExistsError(f"{place} is another file than {path}; rename the new one")
    for path, place in new:
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f".{place.name}.partial")
        shutil.copy2(path, partial)
        partial.replace(place)
    get_run_logger().info("%d new files, %d were here already", len(new), len(pairs) - len(new))
    return len(new)


def _corpus() -> str:
    clips, refused = pd.read_parquet(CLIPS), pd.read_parquet(QUARANTINE)
    hours = (clips["frames"] / clips["fps"]).sum() / 3600
    text = [f"{len(clips)} clips of {clips['speaker'].nunique()} speakers, {hours:.2f} h", ""]
    if len(refused):
        reasons = refused["reason"].map(kind).value_counts()
        text += [
            "| refused because | items |",
            "|---|---|",
            *(f"| {why} | {count} |" for why, count in reasons.items()),
        ]
    return "\n".join(text)
