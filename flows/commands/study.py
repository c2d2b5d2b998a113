"""``dreamtalk ablate``: a study over seeds, or over a grid of parameters."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from flows.commands.machine import one_line, watched
from flows.commands.shell import repository
from flows.servers import PREFECT_PORT

SEEDS, STAGES = [0, 1, 2], ["evaluate"]


def ablate(
    name: Annotated[str, typer.Argument(help="Small letters, digits, dashes; its tables go to reports/studies/NAME.")],
    seeds: Annotated[list[int], typer.Option("--seed", min=0, help="Of the trained networks; once for each.")] = SEEDS,
    grid: Annotated[
        list[str] | None, typer.Option("--set", "-S", help="As denoiser.sync_weight=0,0.02,0.08; several multiply.")
    ] = None,
    stages: Annotated[list[str], typer.Option("--stage", help="Whose numbers are compared.")] = STAGES,
    metrics: Annotated[list[str] | None, typer.Option("--metric", help="Shown in the summary.")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=16, help="Stages that run at once.")] = 2,
    prefect_port: Annotated[int, typer.Option(min=1, max=65535)] = PREFECT_PORT,
) -> None:
    """The ablations (or a grid of parameters) over several seeds, one run after another, as a Prefect flow.

    Killed, it goes on where it was with the same command; params.yaml and all outputs are put back at the end.
    """
    os.chdir(repository())
    with one_line():
        from flows import study

        study.check(name, grid or [], seeds, stages)
    with watched(prefect_port):
        from flows.ablate import ablate as flow

        flow(name, seeds, grid or [], stages, metrics or [], parallel)
    print(f"reports/studies/{name}/summary.md")
