"""What a training needs to go on after it was killed, as safetensors files."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from dreamtalk_models import checkpoints
from stages.files import atomic_path
from stages.training import distributed

Log = Callable[[int, Mapping[str, float]], None]


class StateError(RuntimeError):
    """What a killed training left cannot be read; the text says where it lies."""


class State:
    """The last state of a training, ``last``, and the weights that were validated best, ``best``.

    Attributes:
        step: steps that were taken.
        worse: validations since the best one.
        history: (step, values) of the curves so far.
    """

    def __init__(
        self, folder: Path, network: nn.Module, average: AveragedModel | None, optimizer: torch.optim.Optimizer
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._last, self._best = folder / "last.safetensors", folder / "best.safetensors"
        self._network, self._average, self._optimizer = network, average, optimizer
        self._least = math.inf
        self.step = 0
        self.worse = 0
        self.history: list[tuple[int, dict[str, float]]] = []

    def resume(self, log: Log) -> None:
        """Take up the last state, if there is one, and tell its curves again.

        Raises:
            StateError: it is damaged.
        """
        if not self._last.exists():
            return
        tensors, told = _read(self._last)
        header = json.loads(told["state"])
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
        """Write ``last``, on the first of several processes.

        Raises:
            OSError: it cannot be written; the one before it stays.
        """
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
            checkpoints.write(tensors, tmp, {"state": json.dumps(header)})

    def judge(self, network: nn.Module, loss: float) -> None:
        """Keep the weights if they are the best so far. Raises OSError as :meth:`save` does."""
        self.worse += 1
        if loss >= self._least:
            return
        self.worse, self._least = 0, loss
        if distributed.rank() == 0:
            with atomic_path(self._best) as tmp:
                checkpoints.write(_above(network.state_dict(), ""), tmp)

    def best(self) -> nn.Module:
        """The network, with the best weights. Raises StateError as :meth:`resume` does."""
        self._network.load_state_dict(_read(self._best)[0])
        return self._network


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The file's tensors and header."""
    try:
        with safe_open(path, framework="pt") as file:
            return load_file(path), file.metadata()
    except SafetensorError as error:
        raise StateError(f"{path} is damaged ({error}): remove its folder to train anew") from error


def _above(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
