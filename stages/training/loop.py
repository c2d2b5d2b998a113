"""The training loop of all networks, top to bottom: one function, plain callables in, a trained network out.

What a step draws depends on the seed and the step's number alone, so that a killed run goes on from its last state
and ends, on a CPU, with the very weights of a run that was never killed.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from stages.files import atomic_path
from stages.params import TrainingLoop
from stages.progress import track
from stages.shards import WORK, code_version, shard_key
from stages.training import distributed

Batch = dict[str, Tensor]
Log = Callable[[int, Mapping[str, float]], None]

PACKAGES = (Path(__file__).parent, Path(__file__).parents[2] / "dreamtalk_models")
CURVE_POINTS = 100  # of the training curves
SAVE_EVERY_S = 60.0  # between validations, at the next point of the curves; it changes no result


class StateError(RuntimeError):
    """What a killed training left cannot be read; the text says where it lies."""


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
        distributed.BatchError: the batch does not divide over the processes.
    """
    network.to(device())
    if not steps:
        return network.eval()
    objective = distributed.parallel(_Objective(network, task))
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    optimizer = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=settings.weight_decay)
    state = _State(work, network, average, optimizer)
    state.resume(log)
    recent, clock = _Means(), _Clock(state.step)
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
            with torch.autocast(device().type, torch.bfloat16, enabled=device().type == "cuda"):
                loss, metrics = objective(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(network.parameters(), settings.clip_norm)
            optimizer.step()
            if average is not None:
                average.update_parameters(network)
            recent.add({"loss": loss, **metrics, "gradient_norm": norm})

            validate = step == steps or step % math.ceil(steps / settings.validations) == 0
            if not validate and step % math.ceil(steps / CURVE_POINTS):
                continue
            values = {f"train/{name}": value for name, value in distributed.mean(recent.take()).items()}
            if not math.isfinite(values["train/loss"]):
                raise FloatingPointError(f"{label}: the loss is not finite at step {step}; try a lower learning_rate")
            timing(step, clock.take(step))
            if validate:
                judged = (network if average is None else average.module).eval()
                found = distributed.of_first(lambda network=judged: _without_gradients(task.validate, network))
                values |= {f"val/{name}": value for name, value in found.items()}
                if not math.isfinite(found.get("loss", 0.0)):
                    raise FloatingPointError(f"{label}: the validation loss is not finite at step {step}")
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


class _State:
    """All that a training needs to go on, as safetensors files: ``last`` and ``best``."""

    def __init__(
        self, folder: Path, network: nn.Module, average: AveragedModel | None, optimizer: torch.optim.Optimizer
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._last, self._best = folder / "last.safetensors", folder / "best.safetensors"
        self._network, self._average, self._optimizer = network, average, optimizer
        self._least = math.inf
        self.step = 0
        self.worse = 0  # validations since the best one
        self.history: list[tuple[int, dict[str, float]]] = []

    def resume(self, log: Log) -> None:
        """Take up the last state, if there is one, and tell its curves again."""
        if not self._last.exists():
            return
        try:
            with safe_open(self._last, framework="pt") as file:
                header = json.loads(file.metadata()["state"])
            tensors = load_file(self._last)
        except SafetensorError as error:
            raise StateError(f"{self._last} is damaged ({error}): remove its folder to train anew") from error
        self._network.load_state_dict(_below(tensors, "network."))
        if self._average is not None:
            self._average.load_state_dict(_below(tensors, "average."))
        moments: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for name, tensor in _below(tensors, "optimizer.").items():
            index, key = name.split(".")
            moments[int(index)][key] = tensor
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self.step, self.worse, self._least = header["step"], header["worse"], header["least"]
        self.history = header["history"]
        for step, values in self.history:
            log(step, values)

    def save(self, step: int) -> None:
        self.step = step
        if distributed.rank():
            return
        tensors = _above(self._network.state_dict(), "network.")
        if self._average is not None:
            tensors |= _above(self._average.state_dict(), "average.")
        for index, moments in self._optimizer.state_dict()["state"].items():
            tensors |= _above(moments, f"optimizer.{index}.")
        header = {"step": step, "worse": self.worse, "least": self._least, "history": self.history}
        with atomic_path(self._last) as tmp:
            save_file(tensors, tmp, metadata={"state": json.dumps(header)})

    def judge(self, network: nn.Module, loss: float) -> None:
        """Keep the weights if they are the best so far."""
        self.worse += 1
        if loss >= self._least:
            return
        self.worse, self._least = 0, loss
        if distributed.rank() == 0:
            with atomic_path(self._best) as tmp:
                save_file(_above(network.state_dict(), ""), tmp)

    def best(self) -> nn.Module:
        self._network.load_state_dict(load_file(self._best))
        return self._network


class _Clock:
    """Where the time of the last steps went."""

    def __init__(self, step: int) -> None:
        self._step, self._start, self._waited = step, time.perf_counter(), 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def take(self, step: int) -> dict[str, float]:
        """Of the steps since the last call; the first time, of those since the start of this process."""
        now = time.perf_counter()
        spent, count = now - self._start, max(1, step - self._step)
        found = {"time/loader_share": self._waited / spent, "time/step_s": spent / count}
        self._step, self._start, self._waited = step, now, 0.0
        return found


class _Means:
    """Means of what the last steps gave, kept on the device until they are asked for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach().float()
        self._count += 1

    def take(self) -> dict[str, float]:
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        self.__init__()
        return means


@torch.no_grad()
def _without_gradients(validate: Callable[[nn.Module], dict[str, float]], network: nn.Module) -> dict[str, float]:
    return validate(network)


def _step_seed(*what: int | str) -> int:
    return int(shard_key(*what)[:15], 16)


def _generator(seed: int, step: int, purpose: str) -> Generator:
    return Generator().manual_seed(_step_seed(seed, step, purpose))


def _above(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
