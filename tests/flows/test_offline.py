"""`dreamtalk ui` talks to this machine only: neither its pages nor its processes ask for another one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import mlflow
import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows.servers import answers
from tests.flows.browser import CHROMIUM, page
from tests.flows.in_background import free_port, stages_here, wait_until

HERE = {"", "None", "127.0.0.1", "localhost", "::1", "0.0.0.0"}
WATCH = """
import os, sys

def note(event, arguments):
    if event == "socket.getaddrinfo":
        asked = arguments[0]
    elif event in {"socket.gethostbyname", "socket.gethostbyaddr"}:
        asked = arguments[0]
    elif event in {"socket.connect", "socket.sendto"} and isinstance(arguments[1], tuple):
        asked = arguments[1][0]
    else:
        return
    asked = asked.decode() if isinstance(asked, bytes) else asked
    with open(os.environ["ASKED"], "a") as file:
        file.write(f"{asked} {' '.join(sys.orig_argv[1:5])}\\n")

sys.addaudithook(note)
"""
PREFECT_PAGES = (
    *("dashboard", "runs", "flows", "deployments", "artifacts", "concurrency-limits", "variables", "blocks"),
    *("work-pools", "automations", "events", "settings", "runs/flow-run/{run}", "runs/flow-run/{run}?tab=Artifacts"),
)
MLFLOW_PAGES = (
    *("", "#/experiments", "#/models", "#/experiments/{experiment}/runs", "#/experiments/{experiment}/runs/{logged}"),
    *("#/experiments/{experiment}/runs?compareRunsMode=CHART", "#/experiments/{experiment}/runs/{logged}/artifacts"),
    '#/compare-runs?runs=["{logged}"]&experiments=["{experiment}"]',
)


def run_from_the_ui(prefect: str) -> UUID:
    """Start the served deployment of `reproduce`, as its button does; the id of the run, which has completed.

    Through Prefect's own client, because its server answers 503, to be asked again, when two write at once.
    """
    with SyncPrefectClient(f"{prefect}/api") as client:
        wait_until(lambda: len(client.read_deployments()) == 4)
        deployment = client.read_deployment_by_name("reproduce/local")
        run = client.create_flow_run_from_deployment(deployment.id).id
        wait_until(lambda: client.read_flow_run(run).state.is_final())
        assert client.read_flow_run(run).state.is_completed()
    return run


def a_logged_run(address: str) -> tuple[str, str]:
    """Ids of an MLflow experiment and of a run in it."""
    client = mlflow.MlflowClient(address)
    experiment = client.create_experiment("dreamtalk-test")
    run = client.create_run(experiment, run_name="evaluate/full")
    client.log_metric(run.info.run_id, "m_lmd", 1.0)
    client.log_text(run.info.run_id, "words", "note.txt")
    return experiment, run.info.run_id


def of_another_clone(
    clone: Path, original: Path, port: int, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """A flow whose port has the first clone's server."""
    shutil.copytree(original, clone, ignore=shutil.ignore_patterns(".prefect", "mlflow"))
    command = [sys.executable, "-m", "flows.cli", "reproduce", "--prefect-port", str(port)]
    return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_pages_and_processes_ask_this_machine_only(dvc_repo: Path, root: Path, tmp_path: Path) -> None:
    (hook := tmp_path / "hook").mkdir()
    (hook / "sitecustomize.py").write_text(WATCH)
    asked, trace, ports = tmp_path / "asked.txt", tmp_path / "trace.txt", (free_port(), free_port())
    prefect, tracking = (f"http://127.0.0.1:{port}" for port in ports)
    command = [sys.executable, "-m", "flows.cli", "ui", "--prefect-port", str(ports[0]), "--mlflow-port", str(ports[1])]
    if strace := shutil.which("strace"):  # sees native code, too
        watched = ["-f", "--seccomp-bpf", "-qqq", "-e", "trace=connect", "-e", "signal=none", "-o", str(trace)]
        command = [strace, *watched, *command]
    unset = {"MLFLOW_TRACKING_URI", "PREFECT_API_URL"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"PYTHONPATH": f"{hook}{os.pathsep}{root}", "ASKED": str(asked)}
    with (tmp_path / "ui.log").open("w") as log:
        ui = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_until(lambda: answers(f"{prefect}/api/health") and answers(f"{tracking}/health"))
        refused = of_another_clone(tmp_path / "clone", dvc_repo, ports[0], environment)
        assert refused.returncode == 2 and str(dvc_repo) in refused.stderr and "--prefect-port" in refused.stderr
        asking = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
        answer = httpx.options(f"{prefect}/api/deployments/filter", headers=asking)
        assert answer.is_error and "access-control-allow-origin" not in answer.headers  # no foreign page starts a flow
        run = run_from_the_ui(prefect)
        experiment, logged = a_logged_run(tracking)
        with page(tmp_path / "profile") as tab:
            for place in PREFECT_PAGES:
                tab.open(f"{prefect}/{place.format(run=run)}")
                tab.idle()
            for place in MLFLOW_PAGES:
                tab.open(f"{tracking}/{place.format(experiment=experiment, logged=logged)}")
                tab.idle()
    finally:
        serving = next(process for process in stages_here(dvc_repo) if "ui" in process.cmdline()[:5])
        serving.terminate()
        ui.wait(60)
    hosts = {urlsplit(address).hostname or "" for address in tab.asked if not address.startswith(("data:", "blob:"))}
    assert len(tab.asked) > 100 and hosts <= HERE, hosts
    named = [line for line in asked.read_text().splitlines() if line.partition(" ")[0] not in HERE]
    assert not named
    if strace:
        addresses = set(re.findall(r'inet_(?:addr|pton)\((?:AF_INET6, )?"([^"]+)"', trace.read_text()))
        assert "127.0.0.1" in addresses and addresses <= HERE, addresses
    wait_until(lambda: not stages_here(dvc_repo))
