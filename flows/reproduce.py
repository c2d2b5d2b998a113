"""The reproduction as a Prefect flow: DVC's own graph, a task run per stage, live logs, DVC's cache shown as cached.

There is no second list of stages here; what is up to date is DVC's to say, so Prefect's result cache stays off.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import yaml
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL
from prefect.states import Completed, Pending
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows import artifacts, workspace
from flows.graph import Stage, locked_stages, sort_lock, survey, with_needs
from flows.progress import Progress
from flows.servers import answers
from flows.stage_process import StageFailed, allow_starts, run_stage, stop_all
from stages.params import PARAMS_FILE

PARALLEL = 2
THREADS = 64  # of tasks, most of which wait for others; how many stages run at once is the flow's parameter
RETRY_DELAYS_S = [2, 10, 30]
DYING_S = 5.0  # a stage whose DVC was killed ends a little later
ROUNDS, SERVER_PATIENCE_S = 5, 60  # for a Prefect server that goes away and comes back

Parallel = Annotated[int, Field(ge=1, le=16, description="stages that run at once")]
TimeLimit = Annotated[float | None, Field(gt=0, description="hours after which a stage is stopped; none: never")]


def _worth_a_retry(task, task_run, state: State) -> bool:
    """Locks and kills are; a broken contract or a program's own error would only break again."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, StageFailed) and error.transient


@task(
    name="dvc stage",
    task_run_name="{stage.name}",
    cache_policy=NO_CACHE,
    retries=len(RETRY_DELAYS_S),
    retry_delay_seconds=RETRY_DELAYS_S,
    retry_condition_fn=_worth_a_retry,
)
def dvc_stage(
    stage: Stage,
    unchanged: bool,
    needs: list[dict],
    slots: threading.Semaphore,
    env: Mapping[str, str],
    time_limit_s: float | None = None,
) -> State:
    """Run one stage; Completed, or Cached where DVC found nothing to do.

    Args:
        unchanged: DVC's verdict when the flow began; it holds if nothing that the stage needs has run since.
        needs: rows of the stages that it needs, as this task returns them.
    """
    started, outcome = time.monotonic(), "unchanged"
    if not unchanged or any(row["outcome"] != "unchanged" for row in needs):
        logger = get_run_logger()
        progress = Progress(stage.name)

        def tell(line: str) -> None:
            logger.info(line)
            with artifacts.shown():
                progress.see(line)

        with _no_run_left(), slots:
            started = time.monotonic()
            outcome = run_stage(stage.name, tell, dict(env), time_limit_s).outcome
        artifacts.stage_summary(stage, outcome, time.monotonic() - started)
    row = {"stage": stage.name, "outcome": outcome, "seconds": round(time.monotonic() - started, 1)}
    return Completed(name="Completed" if outcome == "ran" else "Cached", message=f"dvc: {outcome}", data=row)


@contextmanager
def _no_run_left() -> Iterator[None]:
    """A stage that is killed cannot end its MLflow run itself."""
    try:
        yield
    except StageFailed:
        from stages.tracking import end_left_runs  # slow to import, and not needed before

        end_left_runs(DYING_S)
        raise


def run_graph(
    graph: Mapping[str, Stage],
    unchanged: set[str],
    parallel: int = PARALLEL,
    time_limit_h: float | None = None,
    env: Mapping[str, str] | None = None,
) -> list[dict]:
    """Run stages inside a flow, independent ones side by side; what does not need a failed stage runs all the same.

    Returns:
        One row per stage: stage, outcome (ran, unchanged, restored) and seconds.

    Raises:
        StageFailed: the first stage that failed; Prefect's own errors for those that crashed or were cancelled.
    """
    allow_starts()
    locked, tags = locked_stages(), _tags(graph, unchanged)
    slots = threading.Semaphore(parallel)
    environment = {"DREAMTALK_FLOW_RUN": str(flow_run.id or ""), **(env or {})}
    limit = None if time_limit_h is None else time_limit_h * 3600
    futures: dict[str, PrefectFuture] = {}
    states: dict[str, State] = {}
    try:
        for _ in range(ROUNDS):
            todo = not_begun(graph, states)
            if not todo or (states and not _server_is_back(todo)):
                break
            for name in todo:
                stage = graph[name]
                needs = [futures[need] for need in stage.needs if need in futures]
                run = dvc_stage.with_options(name=name, tags=tags[name])  # the name that it waits under, too
                futures[name] = run.submit(stage, name in unchanged, needs, slots, environment, limit)
            states = {name: _end(futures[name]) for name in graph}
    except BaseException:  # Ctrl-C or a cancelled run must leave no stage running
        stop_all()
        raise
    sort_lock(locked, graph)
    rows = [_row(name, state) for name, state in states.items()]
    artifacts.stages_table(rows)
    raise_unless_complete(states)
    return rows


def _tags(graph: Mapping[str, Stage], unchanged: set[str]) -> dict[str, set[str]]:
    """A tag for each stage that may run: Prefect asks its server for the limits of each, which takes a while."""
    tags: dict[str, set[str]] = {}
    for name, stage in graph.items():
        idle = name in unchanged and not any(tags.get(need) for need in stage.needs)
        tags[name] = set() if idle else {stage.group}
    return tags


def _end(future: PrefectFuture) -> State:
    """Wait for a task; pending where Prefect itself could not begin it, as without its server."""
    try:
        future.wait()
    except Exception as error:
        return Pending(message=str(error))
    return future.state


def not_begun(graph: Mapping[str, Stage], states: Mapping[str, State]) -> list[str]:
    """The stages to submit: all at first, then those that nothing but an absent Prefect server has kept from running.

    Prefect asks its server before a task begins, and leaves the task pending where none answers; a stage behind one
    that failed is pending, too.
    """
    left: list[str] = []
    for name, stage in graph.items():
        ready = all(need in left or states[need].is_completed() for need in stage.needs if need in states)
        if name not in states or (states[name].is_pending() and ready):
            left.append(name)
    return left


def _server_is_back(todo: list[str]) -> bool:
    """Wait for Prefect's server; False where it stays away."""
    address = PREFECT_API_URL.value()
    get_run_logger().warning("no Prefect server answered when %s were to begin; waiting for it", ", ".join(todo))
    for _ in range(SERVER_PATIENCE_S):
        if address is None or answers(f"{address}/health"):
            return True
        time.sleep(1)
    return False


def raise_unless_complete(states: Mapping[str, State]) -> None:
    """Raise what ended the first stage that failed, crashed or was cancelled; RuntimeError if some have not run."""
    for state in states.values():
        if state.is_failed() or state.is_crashed() or state.is_cancelled():
            state.result()
    if left := [name for name, state in states.items() if not state.is_completed()]:
        raise RuntimeError(f"not run: {', '.join(left)}; run it again: what is done stays done")


def _row(name: str, state: State) -> dict:
    if state.is_completed():
        return state.result()
    outcome = "failed" if state.is_failed() else "not run"
    return {"stage": name, "outcome": outcome, "seconds": None}


def _name() -> str:
    """The profile and the commit, as in "demo-1a2b3c4"."""
    return f"{profile()}-{commit()}".rstrip("-")


def profile() -> str:
    return yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8")).get("profile", "reproduce")


def commit() -> str:
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return head.stdout.strip()


def sync_runs(rows: list[dict]) -> None:
    """Have MLflow show what DVC restored, in a process of its own; work that is done does not fail by it."""
    if all(row["outcome"] == "unchanged" for row in rows):
        return
    command = [sys.executable, "-m", "flows.cli", "sync"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        get_run_logger().warning("MLflow may lack runs, `dreamtalk sync` failed: %s", done.stderr.strip()[-1000:])


@flow(name="reproduce", flow_run_name=_name, task_runner=ThreadPoolTaskRunner(max_workers=THREADS))
def reproduce(
    stages: list[str] | None = None, parallel: Parallel = PARALLEL, time_limit_h: TimeLimit = None
) -> list[dict]:
    """Run the graph with the numbers of params.yaml, independent stages side by side.

    Args:
        stages: only these and what they need; none: all.

    Returns:
        One row per stage: stage, outcome (ran, unchanged, restored) and seconds.

    Raises:
        WorkspaceBusy: another flow works here.
    """
    with workspace.held("reproduce", get_run_logger().warning):
        graph, unchanged = survey()
        rows = run_graph(with_needs(graph, stages), unchanged, parallel, time_limit_h)
        sync_runs(rows)
    artifacts.results(Path())
    return rows
