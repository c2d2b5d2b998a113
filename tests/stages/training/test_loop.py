from __future__ import annotations

import errno
import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from stages.params import TrainingLoop
from stages.training import loop

SETTINGS = TrainingLoop(warmup=0.1, weight_decay=0.01, clip_norm=1.0, validations=5, patience=0)


class Killed(Exception):
    pass


def network() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.2), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))


def task(kill_at: int | None = None) -> loop.Task:
    seen = 0

    def batch(generator: torch.Generator) -> loop.Batch:
        x = torch.randn(32, 4, generator=generator)
        return {"x": x, "y": x.sum(1, keepdim=True)}

    def loss(net: nn.Module, examples: loop.Batch):
        nonlocal seen
        seen += 1
        if seen == kill_at:
            raise Killed
        error = (net(examples["x"]) - examples["y"]).square().mean()
        return error, {"error": error}

    def validate(net: nn.Module) -> dict[str, float]:
        examples = batch(torch.Generator().manual_seed(99))
        return {"loss": float((net(examples["x"]) - examples["y"]).square().mean())}

    return loop.Task(batch, loss, validate)


def run(folder: Path, kill_at: int | None = None, ema: float = 0.0, log=None, steps: int = 60) -> nn.Module:
    curves = log if log is not None else []
    return loop.train(
        network(),
        task(kill_at),
        SETTINGS,
        steps=steps,
        learning_rate=1e-2,
        seed=3,
        work=folder,
        log=lambda step, values: curves.append((step, dict(values))),
        label="toy",
        ema=ema,
    )


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_killed_run_goes_on_to_bit_identical_weights_and_curves(tmp_path: Path, ema: float) -> None:
    whole_curves, resumed_curves = [], []
    whole = run(tmp_path / "whole", ema=ema, log=whole_curves)
    for kill_at in (30, 20):  # killed twice
        with pytest.raises(Killed):
            run(tmp_path / "killed", kill_at=kill_at, ema=ema)
    resumed = run(tmp_path / "killed", ema=ema, log=resumed_curves)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
    assert whole_curves == resumed_curves


def test_resumed_run_does_not_repeat_steps(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, kill_at=30)
    steps_left = 60 - 24  # a state lies at every validation, that is every 12 steps
    run(tmp_path, kill_at=steps_left + 1)


def test_loss_falls_and_seed_decides(tmp_path: Path) -> None:
    curves = []
    first = run(tmp_path / "a", log=curves, steps=200)
    again = run(tmp_path / "b", steps=200)
    losses = [values["val/loss"] for _, values in curves if "val/loss" in values]
    assert losses[-1] < 0.2 * losses[0]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_the_best_validated_weights_are_kept(tmp_path: Path) -> None:
    verdicts = iter([3.0, 1.0, 2.0, 5.0, 4.0])
    kept = {}

    def validate(net: nn.Module) -> dict[str, float]:
        value = next(verdicts)
        kept[value] = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        return {"loss": value}

    chosen = loop.Task(task().batch, task().loss, validate)
    trained = loop.train(
        network(), chosen, SETTINGS, steps=10, learning_rate=1e-2, seed=0, work=tmp_path, log=lambda *_: None, label="t"
    )
    assert all(torch.equal(tensor, kept[1.0][name]) for name, tensor in trained.state_dict().items())
    assert not trained.training


def test_a_training_that_gets_no_better_ends(tmp_path: Path) -> None:
    verdicts = iter([3.0, 1.0, 2.0, 1.5, 4.0, 0.5])
    curves, times = [], []
    patient = SETTINGS.model_copy(update={"validations": 20, "patience": 2})
    chosen = loop.Task(task().batch, task().loss, lambda net: {"loss": next(verdicts)})
    loop.train(
        network(),
        chosen,
        patient,
        steps=20,
        learning_rate=1e-2,
        seed=0,
        work=tmp_path,
        log=lambda step, values: curves.append(values["val/loss"]),
        label="t",
        timing=lambda step, values: times.append(values),
    )
    assert curves == [3.0, 1.0, 2.0, 1.5, 4.0]  # the best one, and three that are not better
    assert all(0 <= values["time/loader_share"] <= 1 and values["time/step_s"] > 0 for values in times)


def test_a_truncated_state_is_named(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, kill_at=30)
    state = tmp_path / "last.safetensors"
    state.write_bytes(state.read_bytes()[:-50])
    with pytest.raises(loop.StateError, match=r"last\.safetensors is damaged"):
        run(tmp_path)
    run(tmp_path / "whole")
    (tmp_path / "whole/best.safetensors").write_bytes(b"")
    with pytest.raises(loop.StateError, match=r"best\.safetensors is damaged"):
        run(tmp_path / "whole")


def test_a_full_disk_is_an_error_of_the_system_and_loses_no_state(small_disk: Path) -> None:
    with pytest.raises(Killed):
        run(small_disk, kill_at=30)
    left = (small_disk / "last.safetensors").read_bytes()
    with pytest.raises(OSError), (small_disk / "filling").open("wb", buffering=0) as filling:
        while True:
            filling.write(bytes(4096))
    with pytest.raises(OSError) as error:
        run(small_disk)
    assert error.value.errno == errno.ENOSPC and "safetensors" in error.value.filename
    assert (small_disk / "last.safetensors").read_bytes() == left
    (small_disk / "filling").unlink()
    run(small_disk)


def test_infinite_loss_names_the_step(tmp_path: Path) -> None:
    broken = loop.Task(task().batch, lambda net, x: (net(x["x"]).mean() * math.inf, {}), lambda net: {"loss": 0.0})
    with pytest.raises(FloatingPointError, match="not finite at step 1"):
        loop.train(
            network(), broken, SETTINGS, steps=5, learning_rate=1e-2, seed=0, work=tmp_path, log=print, label="broken"
        )


def test_schedule_warms_up_then_decays() -> None:
    rates = [loop.schedule(step, 100, 0.1) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert all(a > b for a, b in pairwise(rates[9:]))
    assert 0 < rates[-1] < 0.01


def test_workspace_is_kept_after_an_error_and_removed_after_success(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "WORK", tmp_path)
    data = tmp_path / "data.bin"
    data.write_bytes(b"x")
    with pytest.raises(Killed), loop.workspace("stage", {"seed": 0}, [data]) as work:
        (work / "state").touch()
        raise Killed
    with loop.workspace("stage", {"seed": 1}, [data]) as other:
        assert other != work
    with loop.workspace("stage", {"seed": 0}, [data]) as again:
        assert again == work
        assert (again / "state").exists()
    assert not work.exists()


def test_workspace_of_changed_inputs_is_another(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(loop, "WORK", tmp_path)
    data = tmp_path / "data.bin"
    folders = []
    for content in (b"x", b"longer"):
        data.write_bytes(content)
        with loop.workspace("stage", {}, [data]) as work:
            folders.append(work)
    assert folders[0] != folders[1]
