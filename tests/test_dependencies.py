"""dvc.yaml names all the code that a stage runs, CODE all that makes its shards: a change must run a stage again, and
make its shards anew."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from dvc.repo import Repo

from experiments import sync_weight
from stages.corpus import crop
from stages.evaluation import evaluate, generate
from stages.evaluation.systems import evaluate as systems
from stages.features import audio, fit

PACKAGES = ("stages", "dreamtalk_models")
# see the head of dvc.yaml
SHARED = re.compile(r"stages/\w+\.py|stages/params/.*|.*/__init__\.py|dreamtalk_models/checkpoints\.py")


def imported(root: Path, module: Path) -> set[Path]:
    """Files of this repository that a file imports, anywhere in it."""
    files = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            path = root.joinpath(*name.split("."))
            files |= {file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()}
    return {file for file in files if file.relative_to(root).parts[0] in PACKAGES}


def closure(root: Path, module: str) -> set[str]:
    """All files that a program needs, itself too, but for what all stages share."""
    start = root.joinpath(*module.split("."))
    todo, seen = [start / "__main__.py" if start.is_dir() else start.with_suffix(".py")], set()
    while todo:
        file = todo.pop()
        if file not in seen:
            seen.add(file)
            todo += imported(root, file) if file.name != "checkpoints.py" else []
    names = {file.relative_to(root).as_posix() for file in seen}
    return {name for name in names if not SHARED.fullmatch(name)}


def stages(root: Path) -> dict[str, tuple[str, set[str]]]:
    """By name: the module that a stage runs, and its dependencies."""
    found = {}
    for stage in Repo(str(root)).index.stages:
        module = re.match(r"python -m (\S+)", stage.cmd)[1]
        found[stage.addressing] = module, {dep.def_path for dep in stage.deps}
    return found


STAGES = stages(Path(__file__).parents[1])


@pytest.mark.parametrize("stage", STAGES)
def test_every_imported_module_is_a_dependency(root: Path, stage: str) -> None:
    module, deps = STAGES[stage]
    missing = {
        file for file in closure(root, module) if not any(file == dep or file.startswith(f"{dep}/") for dep in deps)
    }
    assert not missing, f"add to the deps of {stage} in dvc.yaml: {sorted(missing)}"


@pytest.mark.parametrize("stage", STAGES)
def test_no_dependency_on_code_that_is_not_run(root: Path, stage: str) -> None:
    module, deps = STAGES[stage]
    needed = closure(root, module)
    code = {dep for dep in deps if dep.endswith(".py")}
    assert code <= needed, f"remove from the deps of {stage} in dvc.yaml: {sorted(code - needed)}"


SHARDED = {module.__name__: module.CODE for module in (crop, fit, audio, generate, evaluate, systems, sync_weight)}
CHECKPOINTS = "dreamtalk_models/checkpoints.py"
# what shards do without: kinds of rejection and overlays are made of finished ones, audio loads no network of ours
WITHOUT = {
    "stages.corpus.crop": {"stages/corpus/reasons.py"},
    "stages.features.fit": {"stages/corpus/encode.py", "stages/corpus/media.py"},
    "stages.features.audio": {CHECKPOINTS},
    "experiments.sync_weight": {"stages/corpus/media.py", "stages/features/speech_network.py"},
}


@pytest.mark.parametrize("module", SHARDED)
def test_shards_are_known_by_all_the_code_that_makes_them(root: Path, module: str) -> None:
    makers = (closure(root, module) | {CHECKPOINTS}) - WITHOUT.get(module, set())
    code = SHARDED[module]
    missing = {file for file in makers if not any(file == place or file.startswith(f"{place}/") for place in code)}
    assert not missing, f"add to CODE of {module}: {sorted(missing)}"
    assert all((root / place).exists() for place in code)
