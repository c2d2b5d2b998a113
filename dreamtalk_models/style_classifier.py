"""The style classifier, judge of style accuracy (SA): motion → style group (DreamTalk, section IV-A).

The paper does not publish its structure. Ours is that of speaker verification's x-vectors (Snyder et al., 2018):
convolutions over time, then the mean and standard deviation over time of every channel, then a linear head. A style
lies in how a face moves on average and how widely, which these statistics hold.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

KERNEL = 5
EPSILON = 1e-5


class StyleClassifier(nn.Module):
    """It judges motion, not pictures.

    Args:
        motion_dim: D, expression coefficients a frame.
        classes: number of style groups.
        channels: of the convolutions.
        layers: number of convolutions.
        dropout: before the head.
    """

    def __init__(
        self, *, motion_dim: int = 64, classes: int, channels: int = 128, layers: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.config = {
            "motion_dim": motion_dim,
            "classes": classes,
            "channels": channels,
            "layers": layers,
            "dropout": dropout,
        }
        self.scale = nn.BatchNorm1d(motion_dim, affine=False)
        widths = [motion_dim] + [channels] * layers
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, KERNEL, padding=KERNEL // 2) for before, after in pairwise(widths)
        )
        pooled = 2 * (motion_dim + channels * (layers > 0))
        self.head = nn.Sequential(nn.BatchNorm1d(pooled), nn.Dropout(dropout), nn.Linear(pooled, classes))

    def forward(self, motion: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D) motion, mask (B, L) True = padding → (B, classes) logits."""
        if mask is None:
            mask = motion.new_zeros(motion.shape[:2], dtype=torch.bool)
        known = ~mask
        scaled = torch.zeros_like(motion)
        scaled[known] = self.scale(motion[known])
        x = scaled.transpose(1, 2)
        parts = [x]
        for convolution in self.convolutions:
            x = torch.relu(convolution(x)) * known[:, None]
        if len(self.convolutions):
            parts.append(x)
        return self.head(_statistics(torch.cat(parts, 1), known))


def _statistics(x: Tensor, known: Tensor) -> Tensor:
    """(B, C, L) → (B, 2C): mean and standard deviation over the frames that are known (B, L)."""
    weight = known[:, None] / known.sum(1).clamp(min=1)[:, None, None]
    mean = (x * weight).sum(2)
    variance = ((x - mean[..., None]).square() * weight).sum(2)
    return torch.cat([mean, (variance + EPSILON).sqrt()], 1)
