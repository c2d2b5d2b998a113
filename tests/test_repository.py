"""Properties of the tree itself."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest

LAYERS = {"dreamtalk_models": {"stages", "flows"}, "stages": {"flows"}}


def test_the_folder_mlflow_does_not_shadow_the_library(root: Path) -> None:
    assert hasattr(mlflow, "log_metric")
    assert not list((root / "mlflow").glob("**/*.py"))


@pytest.mark.parametrize("package", LAYERS)
def test_dependencies_point_one_way(root: Path, package: str) -> None:
    for path in (root / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & LAYERS[package], path


def test_no_stage_reads_the_demo_corpus_truth(root: Path) -> None:
    files = [p for room in ("corpus", "features", "training") for p in (root / "stages" / room).rglob("*.py")]
    readers = [
        p for p in files if "demo" not in p.parts and re.search(r"""/ ?['"]truth['"]|['"/]truth/""", p.read_text())
    ]
    assert not readers


def test_networks_import_without_the_pipeline() -> None:
    code = (
        "import sys, dreamtalk_models.denoiser, dreamtalk_models.checkpoints;"
        "assert not {'mlflow', 'prefect', 'dvc', 'stages'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
