"""``dreamtalk doctor | reproduce | ui``: this machine, and what runs on it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from flows.commands.shell import fail, repository
from flows.servers import MLFLOW_PORT, PREFECT_PORT


def doctor() -> None:
    """What this machine has, what it lacks, and how to get it."""
    from rich.console import Console

    from flows.doctor import findings, table

    Console().print(table(list(findings(repository()))))


def reproduce(
    stages: Annotated[list[str] | None, typer.Argument(help="Only these stages and what they need.")] = None,
    prefect_port: Annotated[int, typer.Option(min=1, max=65535)] = PREFECT_PORT,
) -> None:
    """The whole reproduction (dvc.yaml) as a Prefect flow; the server that shows it runs at least as long."""
    from flows.servers import prefect_server

    os.chdir(repository())
    with prefect_server(prefect_port) as address:
        print(f"Watch it at {address}", flush=True)
        from flows.reproduce import reproduce as flow  # Prefect reads its settings when it is imported

        try:
            flow(stages)
        except ValueError as error:
            fail(str(error))


def ui(
    prefect_port: Annotated[int, typer.Option(min=1, max=65535)] = PREFECT_PORT,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535)] = MLFLOW_PORT,
) -> None:
    """Prefect and MLflow servers and the flows' deployments, on localhost, until Ctrl-C."""
    from flows.ui import run

    os.chdir(repository())
    run(prefect_port, mlflow_port)
