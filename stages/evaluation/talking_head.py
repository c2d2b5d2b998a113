"""From speech and a style to face motion, with the trained networks: what the command and the stage share.

Every frame is denoised on its own (the published network has no temporal layer), so the starting noise decides
whether neighbouring frames agree: all frames of a clip start from one and the same noise, and differ by their sound.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch

from dreamtalk_models.diffusion import Method, sample
from dreamtalk_models.style_predictor import sample_style

if TYPE_CHECKING:
    from dreamtalk_models.denoiser import Denoiser
    from dreamtalk_models.style_predictor import StylePredictor

FRAMES_AT_ONCE = 1024  # bounds memory for long voices; frames do not see each other, so it changes no result


def seed_of(seed: int, name: str) -> int:
    """A seed of its own for each clip, the same in every variant and on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7])


def reference_code(denoiser: Denoiser, style: np.ndarray | None) -> np.ndarray:
    """Style code (d,) of a reference expression (S, D); None: of no style at all, the neutral of guidance.

    Of a longer reference the first frames count that the style encoder can take, as in the published code.
    """
    with torch.no_grad():
        if style is None:
            return denoiser.null_style_code(1)[0].numpy()
        clip = torch.as_tensor(np.array(style[: denoiser.style_frames], np.float32))
        return denoiser.encode_style(clip[None])[0].numpy()


def predicted_code(
    predictor: StylePredictor, features: np.ndarray, identity: np.ndarray, *, steps: int, seed: int
) -> np.ndarray:
    """Style code (d,) for a voice, features (rows, C), and a face, identity (I,) (DreamTalk, equation 4)."""
    audio, face = (torch.as_tensor(np.array(x, np.float32))[None] for x in (features, identity))
    generator = torch.Generator().manual_seed(seed)
    return sample_style(predictor, audio, identity=face, steps=steps, generator=generator)[0].numpy()


def speak(
    denoiser: Denoiser,
    windows: np.ndarray,
    style_code: np.ndarray,
    *,
    steps: int,
    guidance: float,
    method: Method,
    seed: int,
) -> np.ndarray:
    """Expression (n, D) for audio windows (n, W, C) in a style (d,).

    Args:
        steps, method: of the reverse diffusion.
        guidance: intensity of the style; 0 neutral, 1 as the reference, above 1 stronger (DreamTalk, equation 9).
        seed: of the starting noise, which all frames share.
    """
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(1, 1, denoiser.motion_dim, generator=generator)
    code = torch.as_tensor(style_code)[None]
    parts = []
    for chunk in torch.as_tensor(np.array(windows, np.float32))[None].split(FRAMES_AT_ONCE, dim=1):
        noise = start.expand(1, chunk.shape[1], -1)
        parts.append(
            sample(
                denoiser,
                chunk,
                style_code=code,
                steps=steps,
                guidance=guidance,
                method=method,
                noise=noise,
                generator=generator,
            )
        )
    return torch.cat(parts, dim=1)[0].numpy()
