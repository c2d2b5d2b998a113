"""Closing lips or eyelids by expression alone: the smallest change of the face that brings two edges together.

A gap between the edges is linear in the expression e, g = g₀ + G e. A change costs what the face model's prior says,
N(0, diag(std²)), and what it moves elsewhere on the face: C = diag(1/std²) + Bᵀ W B / σ², with B the basis and W the
weights of the vertices that should stay. The cheapest change that takes a share a of the gap away is
−a C⁻¹ Gᵀ (G C⁻¹ Gᵀ)⁻¹ g.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dreamtalk_models.face_model import FaceModel


@dataclass(frozen=True)
class Opening:
    """An opening of the face.

    Attributes:
        pairs: upper and lower edge, iBUG landmarks counted from 0.
        around: named vertices of the face model that may move when it closes.
    """

    pairs: tuple[tuple[int, int], ...]
    around: tuple[str, ...]


MOUTH = Opening(((61, 67), (62, 66), (63, 65)), ("mouth", "contour"))
EYES = Opening(((37, 41), (38, 40), (43, 47), (44, 46)), ("left_eye", "right_eye"))

_STRAY = 0.002  # model units (eye centres' distances): how far the rest of the face may well move
_RIDGE = 1e-4  # of the mean variance of a gap: a gap that the model barely moves is left, not forced
_UNUSED = 1e-6  # standard deviation of coefficients that the model does not use


class Closure:
    """Closes one opening of one face.

    Args:
        model: the face model; of published ones too, which have the iBUG landmarks.
        identity: (I,) of the face.
        opening: :data:`MOUTH` or :data:`EYES`.
    """

    def __init__(self, model: FaceModel, identity: Tensor, opening: Opening) -> None:
        upper, lower = (list(edge) for edge in zip(*opening.pairs, strict=True))

        def gaps(vertices: Tensor) -> Tensor:
            points = model.landmarks68(vertices)[..., 1]
            return points[..., lower] - points[..., upper]

        self._rest = gaps(model.vertices(identity, identity.new_zeros(model.expression_dim)))
        self._reach = gaps(model.expression_basis.T.unflatten(-1, (-1, 3)))  # (D, k)
        toward = torch.linalg.solve(_cost(model, opening), self._reach)
        variance = self._reach.T @ toward
        ridge = _RIDGE * variance.diagonal().mean().clamp_min(1e-12) * torch.eye(len(upper), device=variance.device)
        self._answer = torch.linalg.solve(variance + ridge, toward.T)  # (k, D)

    def gap(self, expression: Tensor) -> Tensor:
        """Openings (..., k) under expressions (..., D), in model units; below 0 the edges have crossed."""
        return self._rest + expression @ self._reach

    def close(self, expression: Tensor, amount: Tensor) -> Tensor:
        """Expressions (n, D) with a share of every open gap taken away.

        Args:
            amount: (n,), 0 leaves the face as it is, 1 closes it.
        """
        return expression - amount[:, None] * self.gap(expression).clamp(min=0) @ self._answer


def _cost(model: FaceModel, opening: Opening) -> Tensor:
    """C (D, D), see the head of this file."""
    staying = torch.ones(len(model.mean), dtype=torch.bool, device=model.mean.device)
    for name in opening.around:
        staying[model.sets[name]] = False
    weights = model.vertex_weights * staying
    basis = model.expression_basis.unflatten(0, (-1, 3))
    stray = torch.einsum("vad,v,vae->de", basis, weights / weights.sum(), basis) / _STRAY**2
    return stray + torch.diag(model.expression_std.clamp_min(_UNUSED).square().reciprocal())
