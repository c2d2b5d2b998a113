"""Serve the flows, so that Prefect's UI can start, schedule and parametrise them: ``python -m flows.deployments``."""

from __future__ import annotations

from importlib import import_module

from prefect import serve
from prefect.deployments.runner import RunnerDeployment

# module of flows/ and flow: what the UI says of it
FLOWS = {
    "reproduce:reproduce": "The reproduction: every stage of dvc.yaml, or those that are asked for.",
    "ablate:ablate": "A study: the ablations, or a grid of parameters, over several seeds.",
    "generate:talking_heads": "Talking heads: portraits and voices from a list.",
    "prepare:prepare": "New video into the corpus, on this machine or on a Dask cluster.",
}


def deployments() -> list[RunnerDeployment]:
    """Each flow, to be started with whatever parameters; of each, one run at a time."""
    made = []
    for place, description in FLOWS.items():
        module, name = place.split(":")
        flow = getattr(import_module(f"flows.{module}"), name)
        made.append(flow.to_deployment(name="local", description=description, concurrency_limit=1))
    return made


if __name__ == "__main__":
    serve(*deployments(), pause_on_shutdown=False)
