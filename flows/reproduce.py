"""The reproduction as a Prefect flow: DVC's own graph, a task run per stage, live logs, DVC's cache shown as cached.

There is no second list of stages here; what is up to date is DVC's to say, so Prefect's result cache stays off.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import networkx
import yaml
from dvc.repo import Repo
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, wait
from prefect.runtime import flow_run
from prefect.states import Completed, State
from prefect.task_runners import ThreadPoolTaskRunner

from flows.stage_process import StageResult, run_stage, stop_all

MAX_PARALLEL = 2
REPORT = Path("reports/index.html")


def stage_graph(root: str = ".") -> dict[str, list[str]]:
    """Stages of dvc.yaml in an order in which they can run, each with the stages that it needs."""
    graph = Repo(root).index.graph  # an edge leads from a stage to what it needs
    names = {node: node.addressing for node in graph}
    order = networkx.lexicographical_topological_sort(graph.reverse(), key=lambda node: names[node])
    return {names[node]: sorted(names[needed] for needed in graph.successors(node)) for node in order}


@task(task_run_name="{stage}", cache_policy=NO_CACHE, retries=0)
def dvc_stage(stage: str) -> State:
    """Run one stage; Completed, or Cached where DVC found nothing to do."""
    logger = get_run_logger()
    started = time.monotonic()
    result = run_stage(stage, logger.info)
    row = {"stage": stage, "outcome": result.outcome, "seconds": round(time.monotonic() - started, 1)}
    return Completed(name=_state_name(result), message=f"dvc: {result.outcome}", data=row)


def _state_name(result: StageResult) -> str:
    return "Completed" if result.outcome == "ran" else "Cached"


def _name() -> str:
    """The profile and the commit, as in "demo-1a2b3c4"."""
    profile = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8")).get("profile", "reproduce")
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return f"{profile}-{head.stdout.strip()}".rstrip("-")


@flow(name="reproduce", flow_run_name=_name, task_runner=ThreadPoolTaskRunner(max_workers=MAX_PARALLEL))
def reproduce(stages: list[str] | None = None) -> list[dict]:
    """Run the graph with the numbers of params.yaml, independent stages side by side.

    Args:
        stages: only these and what they need; None runs all.

    Returns:
        One row per stage: stage, outcome (ran, unchanged, restored) and seconds.
    """
    graph = stage_graph()
    chosen = _with_needs(graph, stages)
    futures: dict[str, PrefectFuture] = {}
    try:
        for stage, needs in graph.items():
            if stage in chosen:
                futures[stage] = dvc_stage.submit(stage, wait_for=[futures[name] for name in needs])
        wait(list(futures.values()))
    except BaseException:  # Ctrl-C or a cancelled run must leave no stage running
        stop_all()
        raise
    rows = [future.result() for future in futures.values()]  # raises what the first failed stage raised
    _publish(rows)
    return rows


def _with_needs(graph: dict[str, list[str]], stages: list[str] | None) -> set[str]:
    if stages is None:
        return set(graph)
    chosen: set[str] = set()
    todo = [name for wanted in stages for name in graph if name == wanted or name.startswith(f"{wanted}@")]
    if unknown := [s for s in stages if not any(n == s or n.startswith(f"{s}@") for n in graph)]:
        raise ValueError(f"no such stage: {', '.join(unknown)}; there are {', '.join(graph)}")
    while todo:
        name = todo.pop()
        if name not in chosen:
            chosen.add(name)
            todo += graph[name]
    return chosen


def _publish(rows: list[dict]) -> None:
    """What a reader of the run's page wants: the table of stages, the metrics, where the report lies."""
    create_table_artifact(key="stages", table=rows, description="What ran, what DVC had already")
    if flow_run.id is None:
        return
    if REPORT.exists():
        create_link_artifact(key="report", link=REPORT.resolve().as_uri(), link_text="The report (on this machine)")
    metrics = Repo(".").metrics.show()
    create_markdown_artifact(key="metrics", markdown=_markdown(metrics), description="dvc metrics show")


def _markdown(metrics: dict) -> str:
    lines = ["| file | metric | value |", "|---|---|---|"]
    for file, content in metrics.get("", {}).get("data", {}).items():
        for name, value in content.get("data", {}).items():
            if isinstance(value, (int, float)):
                lines.append(f"| {file} | {name} | {value:.4g} |")
    return "\n".join(lines)
