"""``dreamtalk doctor | reproduce | ui``: this machine, and what runs on it."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer

from flows.commands.shell import fail, repository
from flows.servers import MLFLOW_PORT, PREFECT_PORT, taken


def doctor() -> None:
    """What this machine has, what it lacks, and how to get it."""
    from rich.console import Console

    from flows.doctor import findings, table

    Console().print(table(list(findings(repository()))))


def reproduce(
    stages: Annotated[list[str] | None, typer.Argument(help="Only these stages and what they need.")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=16, help="Stages that run at once.")] = 2,
    prefect_port: Annotated[int, typer.Option(min=1, max=65535)] = PREFECT_PORT,
) -> None:
    """The whole reproduction (dvc.yaml) as a Prefect flow; the server that shows it runs at least as long."""
    with one_line():
        from flows.graph import stage_graph, with_needs

        with_needs(stage_graph(repository()), stages)
    with watched(prefect_port):
        from flows.reproduce import reproduce as flow

        flow(stages, parallel=parallel)


@contextmanager
def one_line() -> Iterator[None]:
    """What is wrong with a request, or with the graph, told before a server is started."""
    from dvc.exceptions import DvcException

    try:
        yield
    except (ValueError, DvcException) as error:
        fail(" ".join(str(error).split()))


@contextmanager
def watched(prefect_port: int) -> Iterator[None]:
    """Run a flow here, under a Prefect server that runs at least as long; flows are imported within.

    What the user can mend ends with code 2, a failed stage with 1: its words stand in the log.
    """
    from flows.servers import ServerError, prefect_server

    os.chdir(repository())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: what was started here is stopped
    server = ExitStack()
    atexit.register(server.close)  # runs after what Prefect registers later, which sends the last log lines
    try:
        print(f"Watch it at {server.enter_context(prefect_server(prefect_port))}", flush=True)
    except ServerError as error:
        fail(str(error))
    import httpx

    from flows.stage_process import StageFailed  # Prefect reads its settings when it is imported
    from flows.workspace import WorkspaceBusy

    try:
        yield
    except (ValueError, WorkspaceBusy) as error:
        fail(" ".join(str(error).split()))
    except StageFailed:
        sys.exit(1)
    except httpx.TransportError as error:
        server.close()
        print(f"dreamtalk: Prefect's server is gone ({error}); what is done stays done: run it again", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)  # at an ordinary exit Prefect would go on sending for minutes


def ui(
    prefect_port: Annotated[int, typer.Option(min=1, max=65535)] = PREFECT_PORT,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535)] = MLFLOW_PORT,
) -> None:
    """Prefect and MLflow servers and the flows' deployments, on localhost, until Ctrl-C."""
    from flows.servers import ServerError
    from flows.ui import run

    for option, port in (("--prefect-port", prefect_port), ("--mlflow-port", mlflow_port)):
        if taken(port):  # a server of another clone would show, and start, that clone's runs
            fail(f"port {port} is taken, perhaps by the pages of another clone: choose another one with {option}")
    os.chdir(repository())
    try:
        run(prefect_port, mlflow_port)
    except ServerError as error:
        fail(str(error))
