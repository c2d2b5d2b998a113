"""The training loop of all networks, top to bottom: one function, plain callables in, a trained network out.

What a step draws depends on the seed and the step's number alone, so that a killed run goes on from its last state
and ends, on a CPU, with the very weights of a run that was never killed.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stages.params import TrainingLoop
from stages.progress import track
from stages.shards import WORK, code_version, shard_key
from stages.training import distributed
from stages.training.curves import Clock, Means
from stages.training.state import Log, State, StateError

Batch = dict[str, Tensor]

PACKAGES = (Path(__file__).parent, Path(__file__).parents[2] / "dreamtalk_models")
CURVE_POINTS = 100  # of the training curves
SAVE_EVERY_S = 60.0  # between validations, at the next point of the curves; it changes no result


ERRORS = (StateError, distributed.BatchError)


@dataclass(frozen=True)
class Task:
    """What is trained, as a few functions.

    Attributes:
        batch: training examples on the CPU, all chance taken from the generator. Called from a worker thread, one
            step ahead.
        loss: scalar to minimise and what else is worth a curve, from (network, batch on the device). Nothing random
            but dropout, so that processes that share a batch do what one would.
        validate: numbers of the network in eval mode, without gradients. The weights with the least "loss" are kept;
            where there is no "loss", the last ones.
        fill: gathers what the examples of `batch` only point at. Of processes that share a batch, all draw the whole
            of it, and each gathers its own part.
    """

    batch: Callable[[Generator], Batch]
    loss: Callable[[nn.Module, Batch], tuple[Tensor, dict[str, Tensor]]]
    validate: Callable[[nn.Module], dict[str, float]]
    fill: Callable[[Batch], Batch] = lambda batch: batch


def device() -> torch.device:
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


def train(
    network: nn.Module,
    task: Task,
    settings: TrainingLoop,
    *,
    steps: int,
    learning_rate: float,
    seed: int,
    work: Path,
    log: Log,
    label: str,
    ema: float = 0.0,
    timing: Log = lambda step, values: None,
) -> nn.Module:
    """Train `network`, or go on with what a killed run left in `work`.

    AdamW, linear warm-up then cosine decay to zero, clipped gradients, bfloat16 on GPUs. Under torchrun all processes
    draw the same batch, each works on its part of it, and gradients are averaged.

    Args:
        steps: steps in all; 0 returns the network as it is. Fewer are taken where settings.patience runs out.
        learning_rate: its peak.
        work: folder of this training's state, the same for all processes; see :func:`workspace`.
        log: takes (step, values): curves "train/..." and "val/...".
        ema: decay of the running mean of the weights, which is what is validated and kept; 0 keeps the weights.
        timing: as `log`: "time/loader_share", the share of the time that waits for batches, and "time/step_s".

    Returns:
        The network with the weights to keep, in eval mode, on :func:`device`.

    Raises:
        FloatingPointError: the loss is not finite; names the step.
        StateError: the state in `work` is damaged.
        distributed.BatchError: the batch does not divide over the processes, or they cannot share its statistics.
    """
    network.to(device())
    if not steps:
        return network.eval()
    objective = distributed.parallel(_Objective(network, task))
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=settings.weight_decay)
    state = State(work, network, average, optimizer)
    state.resume(log)
    recent, clock = Means(), Clock(state.step)
    saved = time.monotonic()

    def load(step: int) -> Batch:
        return task.fill(distributed.share(task.batch(_generator(seed, step, "batch"))))

    with ThreadPoolExecutor(1) as loader:
        upcoming = loader.submit(load, state.step)
        for step in track(range(state.step + 1, steps + 1), label, unit="step"):
            if state.worse > settings.patience > 0:
                break
            with clock.waiting():
                loaded = upcoming.result()
            batch = {name: tensor.to(device()) for name, tensor in loaded.items()}
            if step < steps:
                upcoming = loader.submit(load, step)

            network.train()
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * schedule(step, steps, settings.warmup)
            torch.manual_seed(_step_seed(seed, step, "network", distributed.rank()))  # dropout
            recent.add(_descend(objective, batch, optimizer, settings.clip_norm))
            if average is not None:
                average.update_parameters(network)

            validate = step == steps or step % math.ceil(steps / settings.validations) == 0
            if not validate and step % math.ceil(steps / CURVE_POINTS):
                continue
            values = {f"train/{name}": value for name, value in distributed.mean(recent.take()).items()}
            _check_finite(values["train/loss"], f"{label}: the loss", step)
            timing(step, clock.take(step))
            if validate:
                judged = (network if average is None else average.module).eval()
                found = distributed.of_first(lambda network=judged: _without_gradients(task.validate, network))
                values |= {f"val/{name}": value for name, value in found.items()}
                _check_finite(found.get("loss", 0.0), f"{label}: the validation loss", step)
                state.judge(judged, found.get("loss", -step))
            log(step, values)
            state.history.append((step, values))
            if validate or time.monotonic() - saved > SAVE_EVERY_S:
                state.save(step)
                saved = time.monotonic()
    distributed.meet()
    return state.best().eval()


class _Objective(nn.Module):
    """The loss as a module, so that gradients are averaged over processes whatever methods of the network it calls."""

    def __init__(self, network: nn.Module, task: Task) -> None:
        super().__init__()
        self.network, self._loss = network, task.loss

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return self._loss(self.network, batch)


def _descend(
    objective: nn.Module, batch: Batch, optimizer: torch.optim.Optimizer, clip_norm: float
) -> dict[str, Tensor]:
    """One step down the gradient; what is worth a curve."""
    with torch.autocast(device().type, torch.bfloat16, enabled=device().type == "cuda"):
        loss, metrics = objective(batch)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(objective.parameters(), clip_norm)
    optimizer.step()
    return {"loss": loss, **metrics, "gradient_norm": norm}


def _check_finite(loss: float, what: str, step: int) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(f"{what} is not finite at step {step}; try a lower learning_rate")


def schedule(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at `step` in 1..steps; `warmup` is the share of the steps that rise."""
    rising = max(1, round(warmup * steps))
    if step <= rising:
        return step / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising + 1)))


@contextmanager
def workspace(stage: str, identity: Any, inputs: list[Path]) -> Iterator[Path]:
    """Folder for one training's state: found again by the same work, removed when the block ends without an error.

    The same work is the same `identity` (anything JSON can hold), code, and input files by size and time.
    """
    below = (file for path in inputs for file in ([path] if path.is_file() else path.rglob("*")))
    files = sorted(file for file in below if file.is_file())
    stats = [(file.as_posix(), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    folder = WORK / stage / shard_key(identity, stats, code_version(*PACKAGES))
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    distributed.meet()
    if distributed.rank() == 0:
        shutil.rmtree(folder)


@torch.no_grad()
def _without_gradients(validate: Callable[[nn.Module], dict[str, float]], network: nn.Module) -> dict[str, float]:
    return validate(network)


def _step_seed(*what: int | str) -> int:
    return int(shard_key(*what)[:15], 16)


def _generator(seed: int, step: int, purpose: str) -> Generator:
    return Generator().manual_seed(_step_seed(seed, step, purpose))
