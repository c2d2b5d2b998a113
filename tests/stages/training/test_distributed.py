"""Trainings as processes: killed for real, and shared by two."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamtalk_models.regressor import Regressor
from stages.training import denoiser, distributed, lip_expert, regressor
from tests.stages.training import test_denoiser, test_lip_expert
from tests.stages.training.conftest import Toy
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


def losses(toy: Toy, part: slice) -> dict[str, float]:
    """The losses of untrained networks on a part of their batches, whose halves have unequal numbers that count."""
    corpus, p = toy.corpus("train"), test_denoiser.P
    torch.manual_seed(0)
    expert = lip_expert.network("style_aware", toy.face, corpus, test_lip_expert.P).eval()
    guide = denoiser.Guide(expert, toy.face)
    nets = denoiser.network(toy.face, corpus, p), Regressor(**denoiser.sizes(toy.face, corpus, p))
    lips = denoiser.watched_lips(toy.face, p.model_copy(update={"closure_weight": 0.1}))
    batch = denoiser.tuples(corpus, p, 8, torch.Generator().manual_seed(0))
    batch["valid"] = torch.arange(p.clip_frames) < torch.tensor([16, 16, 16, 16, 16, 9, 8, 7])[:, None]
    batch["null"] = torch.tensor([False, True, False, False, True, True, True, True])
    batch = {name: tensor[part] for name, tensor in batch.items()}
    found = denoiser.losses(nets[0], guide, batch, lips=lips) | regressor.losses(nets[1], guide, batch, lips)
    judging = lip_expert.task(corpus, corpus, toy.face, test_lip_expert.P)
    pairs = judging.fill(judging.batch(torch.Generator().manual_seed(0)))
    rows = len(pairs["start"]) * part.start // 8, len(pairs["start"]) * part.stop // 8
    found["pairs"], metrics = judging.loss(expert, {name: tensor[slice(*rows)] for name, tensor in pairs.items()})
    return {name: float(value.detach()) for name, value in {**found, **metrics}.items()}


def half_of_losses(rank: int, toy: Toy, folder: Path) -> None:
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank)}
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    found = losses(toy, slice(4 * rank, 4 * rank + 4))
    (folder / f"{rank}.json").write_text(json.dumps(found))
    distributed.leave()


@pytest.mark.slow
def test_losses_of_two_halves_are_in_the_mean_those_of_the_whole(toy, tmp_path: Path) -> None:
    torch.multiprocessing.spawn(half_of_losses, (toy, tmp_path), nprocs=2)
    halves = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert halves[1]["sync"] == 0  # none of its windows has a style
    whole = losses(toy, slice(0, 8))
    assert {name: (halves[0][name] + halves[1][name]) / 2 for name in whole} == pytest.approx(whole, rel=1e-4)


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


def test_batch_normalisation_is_refused_where_processes_cannot_share_it(toy, monkeypatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("on GPUs they can")
    expert = lip_expert.network("unconditional", toy.face, toy.corpus("train"), test_lip_expert.P)
    assert distributed.parallel(expert) is expert
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(distributed.BatchError, match="batch normalisation"):
        distributed.parallel(expert)


def test_one_process_alone_shares_with_nobody() -> None:
    batch = {"x": torch.zeros(3)}
    assert torch.equal(distributed.share(batch)["x"], batch["x"])
    assert distributed.mean({"a": 1.5}) == {"a": 1.5}
    assert distributed.of_first(lambda: 3) == 3
    mask = torch.tensor([True, False, True])
    assert distributed.masked_mean(torch.tensor([1.0, 9.0, 4.0]), mask) == 2.5
    assert distributed.masked_mean(torch.ones(3), torch.zeros_like(mask)) == 0
    distributed.meet()
