"""A small face model and clips of known motion, for all tests that need a face without a picture."""

from __future__ import annotations

import torch
from torch import Tensor

from dreamtalk_models import face_topology as topology
from dreamtalk_models.face_model import FaceModel

IDENTITIES, EXPRESSIONS = 3, 6


def synthetic_model() -> FaceModel:
    """A bent sheet with eyes at distance 1, and smooth random modes that leave the skull nearly still."""
    generator = torch.Generator().manual_seed(7)
    mean = torch.randn(topology.VERTICES, 3, generator=generator) * torch.tensor([0.8, 1.0, 0.3])
    mean[list(topology.LEFT_EYE), 0] += 0.5 - mean[list(topology.LEFT_EYE), 0].mean()
    mean[list(topology.RIGHT_EYE), 0] += -0.5 - mean[list(topology.RIGHT_EYE), 0].mean()
    mean -= mean[list(topology.STABLE)].mean(0)
    identity = 0.05 * torch.randn(3 * topology.VERTICES, IDENTITIES, generator=generator)
    expression = torch.randn(topology.VERTICES, 3, EXPRESSIONS, generator=generator)
    expression[list(topology.STABLE)] = 0
    basis = torch.linalg.qr(expression.flatten(0, 1)).Q * 4
    corners = torch.arange(topology.VERTICES - 2)
    return FaceModel(
        mean=mean,
        identity_basis=identity,
        expression_basis=basis,
        expression_std=torch.linspace(0.4, 0.1, EXPRESSIONS),
        vertex_weights=torch.ones(topology.VERTICES),
        triangles=torch.stack([corners, corners + 1, corners + 2], 1),
    )


def synthetic_clip(model: FaceModel, frames: int, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """Landmarks (n, V, 3) px of a face that talks and turns, and the coefficients behind them."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(frames)[:, None] / 25
    rates = 1 + 2 * torch.rand(model.expression_dim, generator=generator)
    truth = {
        "identity": torch.randn(model.identity_dim, generator=generator),
        "expression": model.expression_std * 1.4 * (2 * torch.pi * rates * time).sin(),
        "angles": torch.tensor([0.2, 0.4, 0.1]) * (2 * torch.pi * 0.3 * time + torch.tensor([0.0, 1.0, 2.0])).sin(),
        "translation": torch.tensor([128.0, 120.0, 4.2]) + torch.tensor([5.0, 3.0, 0.05]) * (2 * time).sin(),
    }
    return model.project(**truth), truth
