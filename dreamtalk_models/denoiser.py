"""The denoising network: face motion from noisy motion, time, speech and style (DreamTalk, equation 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from dreamtalk_models.diffusion import Schedule
from dreamtalk_models.style_encoder import StyleEncoder
from dreamtalk_models.transformer import MLP, MiddleTokenDecoder, SequenceEncoder, TimeEmbedding, sinusoid_table

ROWS_PER_FRAME = 2  # audio features at 50 Hz beside motion at 25 Hz

LOWER_FACE = (*range(6), 7, *range(9, 15))
"""The 13 coefficients of the published expression basis (Guo's Exp_Pca) that the lower-face decoder predicts."""


class Denoiser(nn.Module):
    """E(x_t, t, audio, style) → x_0, each frame on its own from the audio window around it.

    Args:
        motion_dim: D, expression coefficients a frame.
        audio_dim: C, audio features a row.
        window: w, audio rows either side of the frame's own; W = 2w + 1.
        style_frames: S, longest style reference.
        decoder: "split" has one decoder for the coefficients in `lower` and one for the others (the published
            code); "single" has one for all (the paper's text).
        lower: indices of the lower-face coefficients; only read by "split".
        diffusion_steps, beta_start, beta_end: the noise schedule, kept as `schedule`.

    Raises:
        ValueError: an unknown decoder, or `lower` is not a proper part of 0..D-1.
    """

    def __init__(
        self,
        *,
        motion_dim: int = 64,
        audio_dim: int = 1024,
        window: int = 5,
        style_frames: int = 256,
        d_model: int = 256,
        heads: int = 8,
        feedforward: int = 1024,
        layers: int = 3,
        dropout: float = 0.1,
        decoder: Literal["split", "single"] = "split",
        lower: Sequence[int] = LOWER_FACE,
        diffusion_steps: int = 1000,
        beta_start: float = 1e-4,
        beta_end: float = 0.02,
    ) -> None:
        super().__init__()
        self.config = {
            "motion_dim": motion_dim,
            "audio_dim": audio_dim,
            "window": window,
            "style_frames": style_frames,
            "d_model": d_model,
            "heads": heads,
            "feedforward": feedforward,
            "layers": layers,
            "dropout": dropout,
            "decoder": decoder,
            "lower": list(lower),
            "diffusion_steps": diffusion_steps,
            "beta_start": beta_start,
            "beta_end": beta_end,
        }
        self.motion_dim, self.audio_dim = motion_dim, audio_dim
        self.tokens = 2 * window + 1
        self.style_frames = style_frames
        self.schedule = Schedule(diffusion_steps, beta_start, beta_end)

        sizes = {
            "d_model": d_model,
            "heads": heads,
            "feedforward": feedforward,
            "layers": layers,
            "dropout": dropout,
        }
        self.audio_encoder = SequenceEncoder(input_dim=audio_dim, max_length=self.tokens, **sizes)
        self.style_encoder = StyleEncoder(motion_dim=motion_dim, style_frames=style_frames, **sizes)
        self.time = TimeEmbedding(d_model)
        self.mix = MLP(d_model + motion_dim, d_model, d_model, d_model)
        self.register_buffer("positions", sinusoid_table(self.tokens, d_model), persistent=False)

        parts = _face_parts(decoder, motion_dim, lower)
        self.decoders = nn.ModuleDict({name: MiddleTokenDecoder(**sizes) for name in parts})
        self.tails = nn.ModuleDict(
            {k: MLP(d_model, d_model // 2, d_model // 2, len(part)) for k, part in parts.items()}
        )
        joined = torch.tensor([index for part in parts.values() for index in part])
        self.register_buffer("order", joined.argsort(), persistent=False)

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

    def frames(self, audio: Tensor) -> int:
        """L of windows (B, L, W, C), or of the rows that they are cut from, (B, 2L + 2w - 1, C).

        Raises:
            ValueError: the windows are not W rows of C features, or the rows are too few for one window.
        """
        if audio.dim() == 4 and audio.shape[2:] == (self.tokens, self.audio_dim):
            return audio.shape[1]
        if audio.dim() == 3 and audio.shape[1] >= self.tokens and audio.shape[2] == self.audio_dim:
            return (audio.shape[1] - self.tokens) // ROWS_PER_FRAME + 1
        raise ValueError(
            f"audio must be windows (B, L, {self.tokens}, {self.audio_dim}), or at least {self.tokens} rows "
            f"(B, rows, {self.audio_dim}), not {tuple(audio.shape)}"
        )

    def audio_of_frames(self, audio: Tensor, first: int, count: int) -> Tensor:
        """The part of windows or rows that belongs to some frames."""
        if audio.dim() == 4:
            return audio[:, first : first + count]
        return audio[:, ROWS_PER_FRAME * first : ROWS_PER_FRAME * (first + count - 1) + self.tokens]

    def encode_audio(self, audio: Tensor) -> Tensor:
        """Windows (B, L, W, C), or the rows that they are cut from, (B, 2L + 2w - 1, C) → (B, L, W, d_model).

        Rows are less work: each lies in five or six windows, and is projected once. Raises as :meth:`frames`.
        """
        shape = len(audio), self.frames(audio)
        projected = self.audio_encoder.project(audio)
        if audio.dim() == 3:
            projected = projected.unfold(1, self.tokens, ROWS_PER_FRAME).transpose(2, 3)
        return self.audio_encoder.encode(projected.flatten(0, 1)).unflatten(0, shape)

    def encode_style(self, style: Tensor, style_mask: Tensor | None = None) -> Tensor:
        """(B, S, D) motion, mask (B, S) True = padding → style code (B, d_model)."""
        return self.style_encoder(style, style_mask)

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
        # no positions here: they came in with the audio encoder
        memory = self.mix.rest(functional.relu(mixed)) + self.time(t)[:, None, None]
        target = self.positions + style_codes[:, :, None]
        parts = [self.tails[name](decoder(target, memory)) for name, decoder in self.decoders.items()]
        return torch.cat(parts, dim=3)[..., self.order].transpose(1, 2)

    def null_style(self, batch: int) -> tuple[Tensor, Tensor]:
        """The style that stands for "no style": all-zero motion (batch, S, D), nothing masked (batch, S)."""
        style = self.positions.new_zeros(batch, self.style_frames, self.motion_dim)
        return style, style.new_zeros(style.shape[:2], dtype=torch.bool)

    def null_style_code(self, batch: int) -> Tensor:
        """(batch, d_model) style code of :meth:`null_style`, encoded once."""
        return self.encode_style(*self.null_style(1)).expand(batch, -1)


def _face_parts(decoder: str, motion_dim: int, lower: Sequence[int]) -> dict[str, list[int]]:
    if decoder == "single":
        return {"face": list(range(motion_dim))}
    if decoder != "split":
        raise ValueError(f'decoder must be "split" or "single", not {decoder!r}')
    upper = sorted(set(range(motion_dim)) - set(lower))
    if sorted([*upper, *lower]) != list(range(motion_dim)) or not upper or not lower:
        raise ValueError(f"lower must name some, not all, of the coefficients 0..{motion_dim - 1}, each once: {lower}")
    return {"upper": upper, "lower": list(lower)}
