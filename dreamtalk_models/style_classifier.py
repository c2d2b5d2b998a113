"""The style classifier, judge of style accuracy (SA): motion → style group (DreamTalk, section IV-C)."""

from __future__ import annotations

from torch import Tensor, nn

from dreamtalk_models.style_encoder import StyleEncoder


class StyleClassifier(nn.Module):
    """A style encoder of its own and a linear head. It judges motion, not pictures.

    Args:
        motion_dim: D, expression coefficients a frame.
        classes: number of style groups.
        clip_frames: longest motion, in frames.
    """

    def __init__(
        self,
        *,
        motion_dim: int = 64,
        classes: int,
        clip_frames: int = 64,
        d_model: int = 128,
        heads: int = 4,
        feedforward: int = 256,
        layers: int = 2,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.config = {
            "motion_dim": motion_dim,
            "classes": classes,
            "clip_frames": clip_frames,
            "d_model": d_model,
            "heads": heads,
            "feedforward": feedforward,
            "layers": layers,
            "dropout": dropout,
        }
        self.encoder = StyleEncoder(
            motion_dim=motion_dim,
            style_frames=clip_frames,
            d_model=d_model,
            heads=heads,
            feedforward=feedforward,
            layers=layers,
            dropout=dropout,
        )
        self.head = nn.Linear(d_model, classes)

    def forward(self, motion: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, L, D) motion, mask (B, L) True = padding → (B, classes) logits.

        Raises:
            ValueError: L is greater than clip_frames.
        """
        return self.head(self.encoder(motion, mask))
