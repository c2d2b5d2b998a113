"""The Prefect and MLflow servers, on localhost, keeping what they know inside this repository and calling nobody."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
PREFECT_PORT = 4200
MLFLOW_PORT = 5000
STARTUP_S = 90.0


def prefect_environment(port: int = PREFECT_PORT) -> dict[str, str]:
    """Settings under which Prefect keeps its data in .prefect/, shows the pages that work offline, and calls nobody."""
    return {
        "PREFECT_HOME": str(Path(".prefect").resolve()),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_UI_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",  # the second version of the pages calls an outside host
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",  # a temporary server loses task runs
        "DO_NOT_TRACK": "true",
    }


@contextmanager
def prefect_server(port: int = PREFECT_PORT) -> Iterator[str]:
    """The address of a Prefect server: the one that runs already, or one started for the length of the block."""
    os.environ.update(prefect_environment(port))
    address = f"http://{HOST}:{port}"
    with _server(
        [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)],
        f"{address}/api/health",
    ):
        yield address


@contextmanager
def mlflow_server(port: int = MLFLOW_PORT) -> Iterator[str]:
    """The address of an MLflow server over the store below mlflow/; as :func:`prefect_server`."""
    address = f"http://{HOST}:{port}"
    home = Path("mlflow").resolve()
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--host",
        HOST,
        "--port",
        str(port),
        "--workers",
        "1",
        "--backend-store-uri",
        f"sqlite:///{home / 'mlflow.db'}",
        "--artifacts-destination",
        str(home / "artifacts"),
    ]
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with _server(command, f"{address}/health"):
        yield address


@contextmanager
def _server(command: list[str], health: str) -> Iterator[None]:
    if _answers(health):
        yield
        return
    log = Path(".prefect") / f"{command[2]}-server.log"
    log.parent.mkdir(exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        _wait(process, health, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(process: subprocess.Popen, health: str, log: Path) -> None:
    deadline = time.monotonic() + STARTUP_S
    while not _answers(health):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server did not start; see {log}")
        time.sleep(0.3)


def taken(port: int) -> bool:
    """Whether something on this machine answers on the port already."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((HOST, port)) == 0


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False
