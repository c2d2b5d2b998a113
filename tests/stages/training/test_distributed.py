"""Trainings as processes: killed for real, and shared by two."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.training import denoiser, distributed, lip_expert
from tests.stages.training import test_denoiser, test_lip_expert
from tests.stages.training.toy_training import STEPS

PROGRAM = "tests.stages.training.toy_training"


def start(root: Path, *command: str | Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(root: Path, *command: str | Path) -> str:
    process = start(root, *command)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors[-3000:]
    return output


@pytest.mark.slow
def test_a_training_killed_at_random_steps_ends_with_the_very_bytes(root: Path, tmp_path: Path) -> None:
    program = ("-m", PROGRAM, "--dropout", "0.2")
    finish(root, *program, tmp_path / "whole")
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    for _ in range(2):
        process = start(root, *program, tmp_path / "killed")
        said, last = 0, chance.randint(5, STEPS // 3)
        for line in process.stdout:
            said += line == "step\n"
            if said == last:
                break
        process.kill()
        process.wait()
        assert not (tmp_path / "killed/weights.safetensors").exists(), seed
    finish(root, *program, tmp_path / "killed")
    for name in ("weights.safetensors", "curves.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), seed


@pytest.mark.slow
def test_two_processes_do_what_one_does(root: Path, tmp_path: Path) -> None:
    finish(root, "-m", PROGRAM, tmp_path / "one")
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    finish(root, *torchrun, "-m", PROGRAM, tmp_path / "two")
    one, two = (json.loads((tmp_path / name / "curves.json").read_text()) for name in ("one", "two"))
    assert [step for step, _ in one] == [step for step, _ in two]
    for (_, alone), (_, shared) in zip(one, two, strict=True):
        assert alone.keys() == shared.keys()
        np.testing.assert_allclose([shared[key] for key in alone], list(alone.values()), rtol=1e-4)


def test_each_process_gets_its_equal_part(monkeypatch) -> None:
    batch = {"x": torch.arange(8), "y": torch.arange(16).reshape(8, 2)}
    parts = []
    monkeypatch.setenv("WORLD_SIZE", "4")
    for rank in range(4):
        monkeypatch.setenv("RANK", str(rank))
        parts.append(distributed.share(batch))
    for name, whole in batch.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), whole)
    with pytest.raises(distributed.BatchError, match=r"batch of 6 .* over 4 processes"):
        distributed.share({"x": torch.zeros(6)})


def test_processes_that_gather_their_parts_have_the_whole_batch(toy, monkeypatch) -> None:
    corpus = toy.corpus("train")
    tasks = [
        denoiser.task(corpus, corpus, None, test_denoiser.P),
        lip_expert.task(corpus, corpus, toy.face, test_lip_expert.P),
    ]
    for task in tasks:
        drawn = task.batch(torch.Generator().manual_seed(0))
        whole = task.fill(drawn)
        monkeypatch.setenv("WORLD_SIZE", "2")
        parts = []
        for rank in "01":
            monkeypatch.setenv("RANK", rank)
            parts.append(task.fill(distributed.share(drawn)))
        for name, expected in whole.items():
            assert torch.equal(torch.cat([part[name] for part in parts]), expected), name


def test_one_process_alone_shares_with_nobody() -> None:
    batch = {"x": torch.zeros(3)}
    assert torch.equal(distributed.share(batch)["x"], batch["x"])
    assert distributed.mean({"a": 1.5}) == {"a": 1.5}
    assert distributed.of_first(lambda: 3) == 3
    distributed.meet()
