"""The place to watch: Prefect and MLflow servers on localhost, and the flows served so that the UI can start them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from flows.servers import mlflow_server, prefect_server

GRACE_S = 60.0  # for flows to end their stages


def run(prefect_port: int, mlflow_port: int) -> None:
    """Start both servers and serve the flows' deployments until Ctrl-C or SIGTERM; then stop what was started here."""
    console = Console(soft_wrap=True)
    console.print("Starting the servers ...")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with prefect_server(prefect_port) as prefect, mlflow_server(mlflow_port) as mlflow:
            os.environ["DREAMTALK_MLFLOW"] = mlflow
            syncing = _sync()
            serving = subprocess.Popen([sys.executable, "-m", "flows.deployments"], start_new_session=True)
            console.print(f"Prefect  {prefect}    start, watch and schedule the flows")
            console.print(f"MLflow   {mlflow}    compare the runs")
            console.print("Ctrl-C stops everything.")
            try:
                serving.wait()
            finally:
                console.print("Stopping ...")
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                for process in (serving, syncing):
                    _end(process)
    except KeyboardInterrupt:
        return


def _sync() -> subprocess.Popen:
    """Have MLflow show beside this what DVC has: on a fresh clone, and of stages that DVC restored, no run exists."""
    log_file = Path(".prefect/sync.log")
    log_file.parent.mkdir(exist_ok=True)
    with log_file.open("wb") as log:
        command = [sys.executable, "-m", "flows.cli", "sync"]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end(process: subprocess.Popen) -> None:
    """Stop a process and what it has started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
