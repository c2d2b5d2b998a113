"""The style-aware lip expert: are these lips and this sound in sync? (DreamTalk, equations 3, 5 and 8)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamtalk_models.style_encoder import StyleEncoder


class LipExpert(nn.Module):
    """Two towers, lips and sound, each conditioned on a style code; the cosine of their embeddings tells sync.

    The probability of sync is sigmoid(scale * cosine + bias) with learned scale and bias. The plain (1 + cosine) / 2
    asks unrelated pairs to point in *opposite* directions, and trained to clearly more errors; Wav2Lip's cosine cut
    off at 0 trains as well, but tells nothing to the denoiser where its lips are worst.

    Inputs are standardised by running statistics, so the unit of the vertices and the scale of the audio features
    do not matter; hence call ``.eval()`` on a frozen expert.

    Args:
        lip_dim: V * 3, coordinates of the mouth vertices.
        audio_dim: C, audio features a row.
        motion_dim: D, coefficients of the style reference; style_frames: its longest length.
        clip_frames: l, frames judged at once.
        embedding: length of the compared embeddings.
        style_aware: False leaves the style out, and nothing else.
    """

    def __init__(
        self,
        *,
        lip_dim: int,
        audio_dim: int = 1024,
        motion_dim: int = 64,
        style_frames: int = 256,
        clip_frames: int = 5,
        embedding: int = 256,
        d_model: int = 256,
        heads: int = 8,
        feedforward: int = 1024,
        layers: int = 3,
        dropout: float = 0.1,
        style_aware: bool = True,
    ) -> None:
        super().__init__()
        self.config = {
            "lip_dim": lip_dim,
            "audio_dim": audio_dim,
            "motion_dim": motion_dim,
            "style_frames": style_frames,
            "clip_frames": clip_frames,
            "embedding": embedding,
            "d_model": d_model,
            "heads": heads,
            "feedforward": feedforward,
            "layers": layers,
            "dropout": dropout,
            "style_aware": style_aware,
        }
        self.clip_frames = clip_frames
        self.style_aware = style_aware
        if style_aware:
            self.style_encoder = StyleEncoder(
                motion_dim=motion_dim,
                style_frames=style_frames,
                d_model=d_model,
                heads=heads,
                feedforward=feedforward,
                layers=layers,
                dropout=dropout,
            )
        lips = [nn.Conv1d(lip_dim, d_model, 1), nn.ReLU(), nn.Conv1d(d_model, d_model, 1), nn.ReLU()]
        audio = [
            nn.Conv1d(audio_dim, d_model, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(d_model, d_model, 3, stride=2, padding=1),
            nn.ReLU(),
        ]
        style_dim = d_model if style_aware else 0
        self.lip_tower = Tower(lip_dim, lips, d_model, style_dim, clip_frames, embedding)
        self.audio_tower = Tower(audio_dim, audio, d_model, style_dim, clip_frames, embedding)
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(0.0))

    def forward(
        self, lips: Tensor, audio: Tensor, style: Tensor | None = None, style_mask: Tensor | None = None
    ) -> Tensor:
        """Similarity of lips and sound.

        Args:
            lips: (B, l, V*3) mouth vertices, any unit.
            audio: (B, 2l, C) features at twice the frame rate.
            style: (B, S, D) reference motion; not read where style_aware is False.
            style_mask: (B, S) True = padding.

        Returns:
            (B,) cosine in [-1, 1].

        Raises:
            ValueError: the clip has another length than l frames and 2l rows, or the style is wanting.
        """
        if lips.shape[1] != self.clip_frames or audio.shape[1] != 2 * self.clip_frames:
            raise ValueError(
                f"need {self.clip_frames} frames and {2 * self.clip_frames} audio rows, "
                f"not {lips.shape[1]} and {audio.shape[1]}"
            )
        if self.style_aware and style is None:
            raise ValueError("a style-aware lip expert needs a style reference")
        code = self.style_encoder(style, style_mask) if self.style_aware else None
        return F.cosine_similarity(self.lip_tower(lips, code), self.audio_tower(audio, code))

    def probability(self, similarity: Tensor) -> Tensor:
        """Cosine (B,) → probability of sync P (B,), in (0, 1)."""
        return self._logit(similarity).sigmoid()

    def expert_loss(self, similarity: Tensor, in_sync: Tensor) -> Tensor:
        """Equation 5, the expert's own training loss: mean binary cross-entropy against in_sync (B,), 1 or 0."""
        return F.binary_cross_entropy_with_logits(self._logit(similarity), in_sync.to(similarity.dtype))

    def sync_loss(
        self, lips: Tensor, audio: Tensor, style: Tensor | None = None, style_mask: Tensor | None = None
    ) -> Tensor:
        """Equation 8, what a frozen expert tells the denoiser: mean of -log P; arguments as :meth:`forward`."""
        return F.softplus(-self._logit(self(lips, audio, style, style_mask))).mean()

    def _logit(self, similarity: Tensor) -> Tensor:
        return self.scale * similarity + self.bias


class Tower(nn.Module):
    """(B, n, inputs) sequence → `front` to l steps → style joined on → temporal convolutions → (B, embedding).

    The end is a linear layer over all steps, not a mean, since *when* is the question.
    """

    def __init__(
        self, inputs: int, front: list[nn.Module], d_model: int, style_dim: int, steps: int, embedding: int
    ) -> None:
        super().__init__()
        # the variance of vertices in metres is about 1e-5, the usual eps
        self.standardise = nn.BatchNorm1d(inputs, eps=1e-10, affine=False)
        self.front = nn.Sequential(*front)
        self.back = nn.Sequential(
            nn.Conv1d(d_model + style_dim, d_model, 3, padding=1),
            nn.GroupNorm(1, d_model),
            nn.ReLU(),
            nn.Conv1d(d_model, d_model, 3, padding=1),
            nn.GroupNorm(1, d_model),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(d_model * steps, embedding),
        )

    def forward(self, x: Tensor, style_code: Tensor | None) -> Tensor:
        x = self.front(self.standardise(x.transpose(1, 2)))
        if style_code is not None:
            x = torch.cat([x, style_code[..., None].expand(-1, -1, x.shape[2])], dim=1)
        return self.back(x)
