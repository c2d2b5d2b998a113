"""The place to watch: Prefect and MLflow servers on localhost, and the flows served so that the UI can start them."""

from __future__ import annotations

from prefect import serve
from rich.console import Console

from flows.reproduce import reproduce
from flows.servers import mlflow_server, prefect_server


def run(prefect_port: int, mlflow_port: int) -> None:
    """Start both servers and serve the flows' deployments until Ctrl-C; then stop what was started here."""
    console = Console()
    console.print("Starting the servers ...")
    with prefect_server(prefect_port) as prefect, mlflow_server(mlflow_port) as mlflow:
        console.print(f"Prefect  {prefect}    start, watch and schedule the flows")
        console.print(f"MLflow   {mlflow}    compare the runs")
        console.print("Ctrl-C stops everything.")
        try:
            serve(reproduce.to_deployment(name="local", description=reproduce.__doc__))
        except KeyboardInterrupt:
            console.print("Stopping.")
