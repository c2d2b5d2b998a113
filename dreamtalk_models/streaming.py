"""Face motion for sound as it arrives.

The published network sees w audio rows either side of a frame's own and nothing else, so a frame can be made as soon as
those have come: w rows of 20 ms after its own (100 ms for w = 5), plus the wait until its chunk is full (40 ms for each
frame after it). What the computer takes comes on top.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from dreamtalk_models.diffusion import sample

if TYPE_CHECKING:
    from dreamtalk_models.denoiser import Denoiser


def stream(
    denoiser: Denoiser,
    rows: Iterable[Tensor],
    style_code: Tensor,
    noise: Tensor,
    *,
    steps: int = 10,
    guidance: float = 1.0,
    chunk: int = 5,
) -> Iterator[Tensor]:
    """Motion by DDIM, the same as of :func:`dreamtalk_models.diffusion.sample` over the whole sound.

    Args:
        rows: pieces (n, C) of the audio features at 50 Hz, of any lengths, from the first frame's own row on.
        style_code: (1, d_model).
        noise: (D,) starting point of every frame; one for all, since frames that start apart do not agree.
        steps, guidance: as of :func:`dreamtalk_models.diffusion.sample`.
        chunk: frames made at once: more are less work, and later.

    Yields:
        (frames, D): `chunk` frames, at the end what is left. n rows in all give ceil(n / 2) frames.
    """
    window = denoiser.tokens // 2
    heard = noise.new_zeros(window, denoiser.audio_dim)  # silence before the first row, as after the last

    def motion(frames: int) -> Tensor:
        part = denoiser.audio_of_frames(heard[None], 0, frames)
        start = noise.expand(1, frames, -1)
        return sample(denoiser, part, style_code=style_code, noise=start, steps=steps, guidance=guidance)[0]

    for piece in rows:
        heard = torch.cat([heard, piece.to(heard)])
        while len(heard) >= 2 * chunk - 1 + 2 * window:
            yield motion(chunk)
            heard = heard[2 * chunk :]
    if len(heard) > window:
        left = (len(heard) - window + 1) // 2
        heard = torch.cat([heard, heard.new_zeros(2 * left - 1 + 2 * window - len(heard), heard.shape[1])])
        yield motion(left)
