"""Benchmarks and experiments are run by hand, now and then: they must not fall behind the code they measure."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("benchmarks", "experiments")
    for path in (ROOT / folder).rglob("*.py")
    if path.name != "__init__.py"
)


@pytest.mark.parametrize("name", MODULES)
def test_it_imports_what_there_is_and_says_what_it_does(name: str) -> None:
    assert import_module(name).__doc__
