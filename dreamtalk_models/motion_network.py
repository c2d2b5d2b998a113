"""What all motion generators share: from speech and style to face motion, each frame from the sound around it.

The denoiser is one, the regressor another; a third needs its own `generate`, a stage that trains it, and a row in
`stages.evaluation.variants.GENERATORS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dreamtalk_models.style_encoder import StyleEncoder
from dreamtalk_models.transformer import MLP, MiddleTokenDecoder, SequenceEncoder, sinusoid_table

ROWS_PER_FRAME = 2  # audio features at 50 Hz beside motion at 25 Hz

LOWER_FACE = (*range(6), 7, *range(9, 15))
"""The 13 coefficients of the published expression basis (Guo's Exp_Pca) that the lower-face decoder predicts."""


class MotionNetwork(nn.Module, ABC):
    """Audio encoder, style encoder and face decoders.

    Args:
        motion_dim: D, expression coefficients a frame.
        audio_dim: C, audio features a row.
        window: w, audio rows either side of the frame's own; W = 2w + 1.
        style_frames: S, longest style reference.
        decoder: "split" has one decoder for the coefficients in `lower` and one for the others (the published
            code); "single" has one for all (the paper's text).
        lower: indices of the lower-face coefficients; only read by "split".

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
        }
        self.motion_dim, self.audio_dim = motion_dim, audio_dim
        self.tokens = 2 * window + 1
        self.style_frames = style_frames

        sizes = {
            "d_model": d_model,
            "heads": heads,
            "feedforward": feedforward,
            "layers": layers,
            "dropout": dropout,
        }
        self.audio_encoder = SequenceEncoder(input_dim=audio_dim, max_length=self.tokens, **sizes)
        self.style_encoder = StyleEncoder(motion_dim=motion_dim, style_frames=style_frames, **sizes)
        self.register_buffer("positions", sinusoid_table(self.tokens, d_model), persistent=False)

        parts = _face_parts(decoder, motion_dim, lower)
        self.decoders = nn.ModuleDict({name: MiddleTokenDecoder(**sizes) for name in parts})
        self.tails = nn.ModuleDict(
            {k: MLP(d_model, d_model // 2, d_model // 2, len(part)) for k, part in parts.items()}
        )
        joined = torch.tensor([index for part in parts.values() for index in part])
        self.register_buffer("order", joined.argsort(), persistent=False)

    @abstractmethod
    def generate(
        self, audio: Tensor, style_code: Tensor, *, guidance: float, generator: torch.Generator, **sampling: Any
    ) -> Tensor:
        """Face motion for speech, in a style.

        Args:
            audio: (B, L, W, C) windows, or their rows; see :meth:`encode_audio`.
            style_code: (B, d_model).
            guidance: style intensity; 0 neutral, 1 as the reference, above 1 stronger (equation 9).
            generator: of all noise.
            sampling: how, where there are several ways; a generator without them does not read it.

        Returns:
            (B, L, D) expression coefficients.

        Raises:
            ValueError: NaN in style or sound, or impossible sampling.
        """

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

    def decode(self, memory: Tensor, style_codes: Tensor) -> Tensor:
        """What the frames' sound becomes, in several styles.

        Args:
            memory: (B, L, W, d_model).
            style_codes: (B, N, d_model).

        Returns:
            (B, N, L, D).
        """
        # no positions in memory: they came in with the audio encoder
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
