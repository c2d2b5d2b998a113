"""The style classifier, judge of style accuracy (SA): motion → style group (DreamTalk, section IV-A).

The paper does not publish its structure. Ours is Fisher's linear discriminant on the mean expression of a clip: one
Gaussian per style group, all with the covariance that clips of one group have among each other. What differs from clip
to clip within a style, such as what is being said, is thereby discounted. It is fitted in closed form, so that a few
clips a group are enough, and a judge cannot be trained too long or too little.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StyleClassifier(nn.Module):
    """It judges motion, not pictures.

    Args:
        motion_dim: D, expression coefficients a frame.
        classes: number of style groups.
    """

    def __init__(self, *, motion_dim: int = 64, classes: int) -> None:
        super().__init__()
        self.config = {"motion_dim": motion_dim, "classes": classes}
        self.register_buffer("centres", torch.zeros(classes, motion_dim))
        self.register_buffer("whitening", torch.eye(motion_dim))

    def forward(self, motion: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D) motion, mask (B, L) True = padding → (B, classes) log-likelihoods, but for a constant."""
        distance = torch.cdist(mean_motion(motion, mask) @ self.whitening, self.centres @ self.whitening)
        return -distance.square() / 2

    @torch.no_grad()
    def fit(self, means: Tensor, labels: Tensor, residuals: Tensor, shrinkage: float) -> None:
        """Learn centres and covariance.

        Args:
            means: (n, D) mean motion of clips, at least one of each class.
            labels: (n,) class of each.
            residuals: (m, D) what is left of mean motions when the mean of their like is taken away.
            shrinkage: pull of the covariance towards a multiple of the identity, greater than 0.
        """
        sums = torch.zeros_like(self.centres).index_add_(0, labels, means)
        self.centres.copy_(sums / labels.bincount(minlength=len(sums))[:, None])
        covariance = residuals.double().T @ residuals.double() / max(1, len(residuals))
        scale = covariance.diagonal().mean().clamp_min(1e-12)
        covariance += shrinkage * scale * torch.eye(len(covariance), dtype=torch.double, device=covariance.device)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
        self.whitening.copy_(torch.linalg.cholesky(inverse))


def mean_motion(motion: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B, L, D) motion, mask (B, L) True = padding → (B, D) mean over the frames that are there."""
    if mask is None:
        return motion.mean(1)
    known = (~mask)[..., None]
    return (motion * known).sum(1) / known.sum(1).clamp(min=1)
