"""The identity judge: is this the same person? It stands in where the user has no ArcFace network.

Fisherfaces (Belhumeur, Hespanha and Kriegman 1997): principal components of aligned faces, then Fisher's discriminant,
which discounts what varies within a person, such as speech, emotion and head pose, and keeps what tells persons apart.
It is fitted in closed form, so that it cannot be trained too long or too little.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)  # of R, G, B (ITU-R BT.601)
LEAST_SPEAKERS = 3  # of two, all faces lie on one line, and every stranger is exactly the one or the other


class IdentityJudge(nn.Module):
    """It judges faces that eyes, nose and mouth were aligned by, as ArcFace does.

    Args:
        size: px, edge of the grey pictures that faces are shrunk to.
        dimensions: E, of an embedding; one less than the speakers learned from, at most.
    """

    def __init__(self, *, size: int, dimensions: int) -> None:
        super().__init__()
        self.config = {"size": size, "dimensions": dimensions}
        self.register_buffer("mean", torch.zeros(size * size))
        self.register_buffer("projection", torch.zeros(size * size, dimensions))

    def forward(self, faces: Tensor) -> Tensor:
        """(B, H, W, 3) aligned faces, RGB in 0..255 → (B, E) unit vectors, whose cosine tells likeness."""
        return functional.normalize((looks(faces, self.config["size"]) - self.mean) @ self.projection)


def looks(faces: Tensor, size: int) -> Tensor:
    """(B, H, W, 3) RGB in 0..255 → (B, size²) grey pictures without their own brightness and contrast."""
    grey = faces.float() @ faces.new_tensor(LUMA, dtype=torch.float32)
    small = functional.interpolate(grey[:, None], (size, size), mode="area").flatten(1)
    return functional.normalize(small - small.mean(1, keepdim=True))


@torch.no_grad()
def fit(faces: Tensor, speakers: Tensor, *, size: int, components: int, shrinkage: float) -> IdentityJudge:
    """A judge that has learned from faces (n, H, W, 3), RGB in 0..255, of `speakers` (n,), numbered from 0.

    Args:
        components: principal components kept, at most.
        shrinkage: pull of the covariance within speakers towards a multiple of the identity, greater than 0.

    Raises:
        ValueError: of fewer than LEAST_SPEAKERS speakers.
    """
    count = int(speakers.max()) + 1 if len(speakers) else 0
    if count < LEAST_SPEAKERS:
        raise ValueError(f"faces of {count} speakers; the identity judge learns from {LEAST_SPEAKERS} or more")
    pictures = looks(faces, size).double()
    mean = pictures.mean(0)
    kept = min(components, len(pictures) - 1, size * size)
    axes = _strongest((pictures - mean).T @ (pictures - mean), kept)
    points = (pictures - mean) @ axes
    sums = points.new_zeros(count, kept).index_add_(0, speakers, points)
    centres = sums / speakers.bincount()[:, None]
    within = (points - centres[speakers]).T @ (points - centres[speakers]) / len(points)
    within += shrinkage * within.diagonal().mean().clamp_min(1e-12) * torch.eye(kept, dtype=torch.double)
    whitening = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(within)))
    spread = (centres - centres.mean(0)) @ whitening
    between = _strongest(spread.T @ spread, min(count - 1, kept))
    judge = IdentityJudge(size=size, dimensions=between.shape[1])
    judge.mean.copy_(mean)
    judge.projection.copy_(axes @ whitening @ between)
    return judge.eval()


def _strongest(covariance: Tensor, count: int) -> Tensor:
    """(D, count) eigenvectors of the largest eigenvalues, the largest first."""
    return torch.linalg.eigh(covariance).eigenvectors[:, -count:].flip(1)
