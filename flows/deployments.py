"""Serve the flows, so that Prefect's UI can start, schedule and parametrise them: ``python -m flows.deployments``."""

from __future__ import annotations

from prefect import serve

from flows.reproduce import reproduce

if __name__ == "__main__":
    serve(reproduce.to_deployment(name="local", description="The reproduction: every stage of dvc.yaml."))
