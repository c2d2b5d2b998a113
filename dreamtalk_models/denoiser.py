"""The denoising network: face motion from noisy motion, time, speech and style (DreamTalk, equation 2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dreamtalk_models.diffusion import Method, Schedule, sample
from dreamtalk_models.motion_network import MotionNetwork
from dreamtalk_models.transformer import MLP, TimeEmbedding


class Denoiser(MotionNetwork):
    """E(x_t, t, audio, style) → x_0, each frame on its own from the audio window around it.

    Args:
        diffusion_steps, beta_start, beta_end: the noise schedule, kept as `schedule`.
        network: as of :class:`~dreamtalk_models.motion_network.MotionNetwork`.
    """

    def __init__(
        self, *, diffusion_steps: int = 1000, beta_start: float = 1e-4, beta_end: float = 0.02, **network: Any
    ) -> None:
        super().__init__(**network)
        self.config |= {"diffusion_steps": diffusion_steps, "beta_start": beta_start, "beta_end": beta_end}
        self.schedule = Schedule(diffusion_steps, beta_start, beta_end)
        d_model = self.config["d_model"]
        self.time = TimeEmbedding(d_model)
        self.mix = MLP(d_model + self.motion_dim, d_model, d_model, d_model)

    def forward(self, x_t: Tensor, t: Tensor, audio: Tensor, style: Tensor, style_mask: Tensor | None = None) -> Tensor:
        """Predict clean motion.

        Args:
            x_t: (B, L, D) noisy motion.
            t: (B,) diffusion time, 1..T.
            audio: (B, L, W, C) feature window around each frame, or their rows; see :meth:`encode_audio`.
            style: (B, S, D) reference motion.
            style_mask: (B, S) True = padding.

        Returns:
            (B, L, D) predicted x_0.
        """
        style_code = self.encode_style(style, style_mask)
        return self.denoise(x_t, t, self.encode_audio(audio), style_code[:, None])[:, 0]

    def generate(
        self,
        audio: Tensor,
        style_code: Tensor,
        *,
        guidance: float,
        generator: torch.Generator,
        steps: int = 10,
        method: Method = "ddim",
    ) -> Tensor:
        """As :meth:`MotionNetwork.generate`, by reverse diffusion in `steps` steps; see
        :func:`dreamtalk_models.diffusion.sample`.

        Every frame is denoised on its own, so the starting noise decides whether neighbouring frames agree: all frames
        of a clip start from one and the same noise, and differ by their sound.
        """
        start = torch.randn(len(audio), 1, self.motion_dim, generator=generator)
        return sample(
            self,
            audio,
            style_code=style_code,
            steps=steps,
            guidance=guidance,
            method=method,
            noise=start.expand(-1, self.frames(audio), -1).to(audio),
            generator=generator,
        )

    def denoise(self, x_t: Tensor, t: Tensor, content: Tensor, style_codes: Tensor) -> Tensor:
        """As :meth:`forward`, in several styles, from the outputs of :meth:`encode_audio` and :meth:`encode_style`.

        Args:
            content: (B, L, W, d_model).
            style_codes: (B, N, d_model).

        Returns:
            (B, N, L, D) predicted x_0.
        """
        # the first layer of `mix` over [content, x_t], the part of x_t once for all tokens of a frame
        first = self.mix[0]
        of_content, of_motion = first.weight.split([content.shape[3], self.motion_dim], dim=1)
        mixed = functional.linear(content, of_content, first.bias) + functional.linear(x_t, of_motion)[:, :, None]
        return self.decode(self.mix.rest(functional.relu(mixed)) + self.time(t)[:, None, None], style_codes)
