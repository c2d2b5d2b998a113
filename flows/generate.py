"""Talking heads as a Prefect flow: one, or many from a list, each a task of its own."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import shown
from stages import params
from stages.evaluation.from_files import Request, Result, talking_head
from stages.evaluation.workshop import Workshop

MAX_PARALLEL = 2


@task(task_run_name="{request.out}", cache_policy=NO_CACHE, retries=0)
def make_head(request: Request, shop: Workshop) -> Result:
    """One talking head; a request that cannot be met fails its own task only."""
    logger, told = get_run_logger(), ""

    def progress(what: str, share: float) -> None:
        nonlocal told
        if what != told:
            logger.info("%s (%d %%)", what, 100 * share)
        told = what

    result = talking_head(request, shop, progress)
    for remark in result.remarks:
        logger.warning(remark)
    return result


def _name() -> str:
    """How many, as in "3 heads"."""
    return f"{(count := len(flow_run.parameters['requests']))} head{'s' * (count != 1)}"


@flow(name="talking heads", flow_run_name=_name, task_runner=ThreadPoolTaskRunner(max_workers=MAX_PARALLEL))
def talking_heads(requests: list[Request], root: Path = Path()) -> list[dict]:
    """Make each of the requests, two at a time; those that can be met are, whatever becomes of the others.

    Args:
        requests: portrait, voice and out of each, and what else `dreamtalk generate` takes.
        root: the repository whose networks speak.

    Returns:
        One row per request: out, seconds of its video, remarks or the error.

    Raises:
        RuntimeError: one or more could not be made; names them.
    """
    root = root.resolve()
    shop = Workshop(root, params.load(root / params.PARAMS_FILE))  # one set of networks for all
    futures = [make_head.submit(request, shop) for request in requests]
    wait(futures)
    made = [future.state.result(raise_on_failure=False) for future in futures]
    rows = [_row(request, result) for request, result in zip(requests, made, strict=True)]
    if flow_run.id is not None:
        with shown():
            create_table_artifact(key="talking-heads", table=rows, description="What was made, and what could not be")
    if failed := [f"{row['out']}: {row['error']}" for row in rows if row["error"]]:
        raise RuntimeError(f"{len(failed)} of {len(rows)} talking heads could not be made: {'; '.join(failed)}")
    return rows


def _row(request: Request, made: Result | BaseException) -> dict:
    row = {"out": str(request.out), "seconds": None, "remarks": "", "error": ""}
    if isinstance(made, Result):
        return row | {"seconds": round(made.seconds, 2), "remarks": "; ".join(made.remarks)}
    return row | {"error": str(made)}
