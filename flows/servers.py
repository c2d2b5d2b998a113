"""The Prefect and MLflow servers, on localhost, keeping what they know inside this repository and calling nobody."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from flows.guarded import guard, unguard

HOST = "127.0.0.1"
PREFECT_PORT = 4200
MLFLOW_PORT = 5000
STARTUP_S = 600.0  # a busy machine is slow; a server that cannot start ends, and is not waited for
RESTART_S = 1.0
SOUND_S = 5.0  # a server that dies within that of its start would only do so again


class ServerError(RuntimeError):
    """A server that cannot be had; the text says why."""


def prefect_environment(port: int = PREFECT_PORT) -> dict[str, str]:
    """Settings under which Prefect keeps its data in .prefect/, shows the pages that work offline, and calls nobody."""
    return {
        "PREFECT_HOME": str(Path(".prefect").resolve()),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_UI_API_URL": f"http://{HOST}:{port}/api",
        # Prefect lets every page that the browser shows start flows; these are the addresses of its own.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port},http://localhost:{port}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",  # the second version of the pages calls an outside host
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",  # a temporary server loses task runs
        "DO_NOT_TRACK": "true",
    }


@contextmanager
def prefect_server(port: int = PREFECT_PORT) -> Iterator[str]:
    """The address of this repository's Prefect server: the one that runs already, or one started for the length of the
    block.

    Raises:
        ServerError: the port belongs to another one, or it does not start.
    """
    os.environ.update(prefect_environment(port))
    address = f"http://{HOST}:{port}"
    home = _prefect_home(address)
    if home and home != os.environ["PREFECT_HOME"]:  # it would show this repository's runs among others, and may end
        raise ServerError(f"port {port} has the Prefect server of {home}: choose another one with --prefect-port")
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
    if answers(health):
        yield
        return
    server = _Server(command, Path(".prefect") / f"{command[2]}-server.log")
    try:
        server.begin(health)
        yield
    finally:
        server.stop()


class _Server:
    """A server in a process group of its own, started again where it dies before :meth:`stop`.

    Flows outlast that: what they have to tell Prefect is sent again for a minute.
    """

    def __init__(self, command: list[str], log: Path) -> None:
        self._command, self._log = command, log.resolve()
        self._wanted, self._lock = True, threading.Lock()
        log.parent.mkdir(exist_ok=True)
        log.write_bytes(b"")
        self._process = self._start()

    def begin(self, health: str) -> None:
        """Wait until the address answers. Raises ServerError where it does not."""
        deadline = time.monotonic() + STARTUP_S
        while not answers(health):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"the server did not start; see {self._log}")
            time.sleep(0.3)
        threading.Thread(target=self._keep, daemon=True).start()

    def stop(self) -> None:
        with self._lock:
            self._wanted = False
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._end_group()

    def _start(self) -> subprocess.Popen:
        self._started = time.monotonic()
        with self._log.open("ab") as output:
            process = subprocess.Popen(self._command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        guard(process.pid)
        return process

    def _keep(self) -> None:
        while True:
            self._process.wait()
            sound = time.monotonic() - self._started > SOUND_S
            time.sleep(RESTART_S)
            with self._lock:
                if not (self._wanted and sound):
                    return
                self._end_group()  # what it has left would keep the port
                self._process = self._start()

    def _end_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        unguard(self._process.pid)


def _prefect_home(address: str) -> str | None:
    """Where the Prefect server at an address keeps its data; None where there is none."""
    if not answers(f"{address}/api/health"):
        return None
    with urllib.request.urlopen(f"{address}/api/admin/settings", timeout=10) as response:
        return json.load(response)["home"]


def taken(port: int) -> bool:
    """Whether something on this machine answers on the port already."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((HOST, port)) == 0


def answers(url: str) -> bool:
    """Whether a server says at this address that it is well."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False
