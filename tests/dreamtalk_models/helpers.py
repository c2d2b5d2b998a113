"""What the tests of several networks share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SMALL = {"d_model": 16, "heads": 2, "feedforward": 32, "layers": 2, "dropout": 0.0}


def weights(vectors: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """The `w/` entries of golden vectors, as an official file names them."""
    return {prefix + key.removeprefix("w/"): value for key, value in vectors.items() if key.startswith("w/")}


def assert_golden(actual: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    """`atol` is for values around 1: what adds up large ones rounds as much more, on every processor differently."""
    scale = max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=atol * scale)


def overfit(module: nn.Module, loss: Callable[[], Tensor], steps: int = 80, rate: float = 1e-2) -> tuple[float, float]:
    """Train on one batch; the loss before and after."""
    optimiser = torch.optim.Adam(module.parameters(), rate)
    first = last = loss()
    for _ in range(steps):
        optimiser.zero_grad()
        last = loss()
        last.backward()
        optimiser.step()
    return float(first), float(last)


def without_gradient(module: nn.Module) -> list[str]:
    """Parameters that the last backward pass did not reach."""
    return [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum()]
