"""The place to watch: Prefect and MLflow servers on localhost, and the flows served so that the UI can start them."""

from __future__ import annotations

import signal
import subprocess
import sys

from rich.console import Console

from flows.servers import mlflow_server, prefect_server


def run(prefect_port: int, mlflow_port: int) -> None:
    """Start both servers and serve the flows' deployments until Ctrl-C; then stop what was started here."""
    console = Console()
    console.print("Starting the servers ...")
    with prefect_server(prefect_port) as prefect, mlflow_server(mlflow_port) as mlflow:
        serving = subprocess.Popen([sys.executable, "-m", "flows.deployments"], start_new_session=True)
        console.print(f"Prefect  {prefect}    start, watch and schedule the flows")
        console.print(f"MLflow   {mlflow}    compare the runs")
        console.print("Ctrl-C stops everything.")
        try:
            serving.wait()
        except KeyboardInterrupt:
            console.print("Stopping ...")
        finally:
            serving.send_signal(signal.SIGTERM)
            serving.wait(30)
