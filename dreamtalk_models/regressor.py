"""Motion by regression: the denoiser's encoders and decoders without noise and time, as a baseline for diffusion.

It stands for generators that give one answer to a sound, as StyleTalk's does (Ma et al. 2023, without its
discriminators).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dreamtalk_models.motion_network import MotionNetwork

CHUNK = 512  # frames worked on at once


class Regressor(MotionNetwork):
    """E(audio, style) → x_0, each frame on its own from the audio window around it."""

    def forward(self, audio: Tensor, style: Tensor, style_mask: Tensor | None = None) -> Tensor:
        """Predict motion (B, L, D).

        Args:
            audio: (B, L, W, C) feature window around each frame, or their rows; see :meth:`encode_audio`.
            style: (B, S, D) reference motion. style_mask: (B, S) True = padding.
        """
        return self.decode(self.encode_audio(audio), self.encode_style(style, style_mask)[:, None])[:, 0]

    @torch.no_grad()
    def generate(
        self, audio: Tensor, style_code: Tensor, *, guidance: float, generator: torch.Generator, **sampling: Any
    ) -> Tensor:
        """As :meth:`MotionNetwork.generate`; nothing is drawn, and there is one way of sampling."""
        codes = torch.stack([style_code, self.null_style_code(len(audio))], dim=1)
        for name, values in {"the audio": audio, "the style": codes}.items():
            if not values.isfinite().all():
                raise ValueError(f"{name} has values that are not finite numbers; extract or fit it again")
        motion = []
        for first in range(0, self.frames(audio), CHUNK):
            count = min(CHUNK, self.frames(audio) - first)
            content = self.encode_audio(self.audio_of_frames(audio, first, count))
            styled, neutral = self.decode(content, codes).unbind(1)
            motion.append(neutral + guidance * (styled - neutral))
        return torch.cat(motion, dim=1)
