"""Points of a study as DVC experiments, in a real git and DVC repository: listed, shown, and given back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.study import save_experiment
from flows.workspace import borrowed, held, set_parameters

DVC = [sys.executable, "-m", "dvc"]


def dvc(*arguments: str) -> str:
    return subprocess.run([*DVC, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def committed(dvc_repo: Path) -> Path:
    """The repository with everything run and committed."""
    dvc("repro", "-q")
    (dvc_repo / ".gitignore").write_text("/first.txt\n/second.txt\n/.work\n")
    who = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"]
    for command in (["add", "-A"], [*who, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], check=True)
    return dvc_repo


def study(words: dict[str, str]) -> None:
    with held("ablate words", print), borrowed(print):
        for name, word in words.items():
            set_parameters(f"word: {word}\n".encode())
            dvc("repro", "-q")
            save_experiment(name)


def shown() -> dict[str, dict]:
    """What `dvc exp show` has of each experiment: its parameters."""
    commits = json.loads(dvc("exp", "show", "--json"))
    found = [entry for commit in commits for each in commit["experiments"] or [] for entry in each["revs"]]
    return {entry["name"]: entry["data"]["params"]["params.yaml"]["data"] for entry in found}


@pytest.mark.slow
def test_points_of_a_study_are_experiments(committed: Path) -> None:
    words = {"words-00-seed0": "red", "words-01-seed0": "green"}
    for _ in range(2):  # a study that is started again replaces its points
        study(words)
        assert set(dvc("exp", "list", "--name-only").split()) == set(words)
        assert shown() == {name: {"word": word} for name, word in words.items()}
    assert (committed / "second.txt").read_text() == "hello"
    assert subprocess.run(["git", "status", "--porcelain"], capture_output=True).stdout == b""
    dvc("exp", "apply", "words-01-seed0")
    assert (committed / "params.yaml").read_text() == "word: green\n"
    assert (committed / "second.txt").read_text() == "green"
    assert dvc("repro").count("didn't change, skipping") == 2


def test_a_repository_without_a_commit_says_so(dvc_repo: Path) -> None:
    dvc("repro", "-q")
    with pytest.raises(RuntimeError, match="exp save"):
        save_experiment("none")
