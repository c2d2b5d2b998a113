"""From speech and a style to face motion, with the trained networks: what the command and the stage share."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from dreamtalk_models.diffusion import Method
from dreamtalk_models.style_predictor import sample_style

if TYPE_CHECKING:
    from dreamtalk_models.motion_network import MotionNetwork
    from dreamtalk_models.style_predictor import StylePredictor


def device() -> torch.device:
    """Where networks run."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed_of(seed: int, name: str) -> int:
    """A seed of its own for each clip, the same in every variant and on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:7])


@torch.no_grad()
def reference_code(network: MotionNetwork, style: np.ndarray | None) -> np.ndarray:
    """Style code (d,) of a reference expression (S, D); None: of no style at all, the neutral of guidance.

    Of a longer reference the first frames count that the style encoder can take, as in the published code.
    """
    if style is None:
        return network.null_style_code(1)[0].cpu().numpy()
    return network.encode_style(_batch_of_one(style[: network.style_frames], network))[0].cpu().numpy()


def predicted_code(
    predictor: StylePredictor, features: np.ndarray, identity: np.ndarray, *, steps: int, seed: int
) -> np.ndarray:
    """Style code (d,) for a voice, features (rows, C), and a face, identity (I,) (DreamTalk, equation 4)."""
    audio, face = _batch_of_one(features, predictor), _batch_of_one(identity, predictor)
    generator = torch.Generator().manual_seed(seed)
    return sample_style(predictor, audio, identity=face, steps=steps, generator=generator)[0].cpu().numpy()


@torch.no_grad()
def speak(
    network: MotionNetwork,
    sound: np.ndarray,
    style_code: np.ndarray,
    *,
    steps: int,
    guidance: float,
    method: Method,
    seed: int,
) -> np.ndarray:
    """Expression (n, D) for sound in a style (d,).

    Args:
        sound: windows (n, W, C), or the rows that they are cut from, (2n + 2w - 1, C).
        steps, method: of the reverse diffusion, where the network is a denoiser.
        guidance: intensity of the style; 0 neutral, 1 as the reference, above 1 stronger (DreamTalk, equation 9).
        seed: of all noise.
    """
    motion = network.generate(
        _batch_of_one(sound, network),
        _batch_of_one(style_code, network),
        guidance=guidance,
        generator=torch.Generator().manual_seed(seed),
        steps=steps,
        method=method,
    )
    return motion[0].cpu().numpy()


def _batch_of_one(array: np.ndarray, network: nn.Module) -> Tensor:
    """(1, ...) float32, where the network is."""
    return torch.from_numpy(np.array(array, np.float32))[None].to(next(network.parameters()).device)
