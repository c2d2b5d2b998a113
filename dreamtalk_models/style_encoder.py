"""The style encoder: reference motion → style code (DreamTalk, section III-B)."""

from __future__ import annotations

from torch import Tensor, nn

from dreamtalk_models.transformer import AttentionPooling, SequenceEncoder


class StyleEncoder(nn.Module):
    """Transformer encoder and self-attention pooling over a clip's expression coefficients.

    Every motion network has its own, and so has the style-aware lip expert.

    Args:
        motion_dim: D, coefficients a frame.
        style_frames: longest clip, in frames.
    """

    def __init__(
        self,
        *,
        motion_dim: int,
        style_frames: int,
        d_model: int,
        heads: int,
        feedforward: int,
        layers: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.frames = SequenceEncoder(
            input_dim=motion_dim,
            max_length=style_frames,
            d_model=d_model,
            heads=heads,
            feedforward=feedforward,
            layers=layers,
            dropout=dropout,
        )
        self.pool = AttentionPooling(d_model)

    def forward(self, style: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, S, D) motion, mask (B, S) True = padding → (B, d_model). At least one frame must be unmasked.

        Raises:
            ValueError: S is greater than style_frames.
        """
        if mask is not None and mask.device.type == "cpu":  # a GPU would have to be waited for
            longest = int((~mask).any(0).nonzero().max()) + 1
            style, mask = style[:, :longest], mask[:, :longest]  # what is padding everywhere costs time, tells nothing
        return self.pool(self.frames(style, mask), mask)
