"""The whole graph for real, in small: a copy of the tree, the smoke profile, `dvc repro`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import compose_and_dump

pytestmark = pytest.mark.slow

CODE = ("conf", "stages", "dreamtalk_models", "flows", "dvc.yaml", ".dvcignore", "data", "mlflow")


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_project(root, tmp_path_factory.mktemp("project"), ["profile=smoke"])


def make_project(root: Path, project: Path, choices: list[str]) -> Path:
    """A project of its own: this tree's tracked files, and parameters composed from conf/ with `choices`."""
    tracked = subprocess.run(["git", "ls-files", "-z", *CODE], cwd=root, capture_output=True, check=True).stdout
    for name in tracked.decode().split("\0"):
        if name and (root / name).is_file():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, project / name)
    compose_and_dump(project / "params.yaml", str(root / "conf"), None, "config", "", choices)
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    dvc(project, "init", "-q")
    return project


def dvc(project: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(project.parent / "dvc-site"),
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-m", "dvc", *arguments]
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]
    return result.stdout


def stages_that_ran(output: str) -> set[str]:
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")}


def test_the_reproduction_from_nothing_to_the_report(project: Path) -> None:
    ran = stages_that_ran(dvc(project, "repro"))
    assert {"ingest", "crop", "validate", "split", "fit", "audio", "train_denoiser@full", "report"} <= ran
    page = (project / "reports/index.html").read_text(encoding="utf-8")
    assert "Table IV" in page and "Table V" in page
    assert "smoke" in page  # the numbers say which profile produced them

    assert not stages_that_ran(dvc(project, "repro"))

    params = yaml.safe_load((project / "params.yaml").read_text())
    params["evaluate"]["vshift"] = 10
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    ran = stages_that_ran(dvc(project, "repro"))
    assert {name.split("@")[0] for name in ran} == {"evaluate_truth", "evaluate", "evaluate_methods", "report"}
