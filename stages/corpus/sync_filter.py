"""Does a clip's sound belong to its picture? SyncNet's verdict on cropped clips, as LatentSync filters its corpus."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stages.params import SyncFilter

if TYPE_CHECKING:  # torch is loaded only where there is a filter
    from dreamtalk_models.syncnet import SyncNet


def out_of_sync(
    settings: SyncFilter, frames: np.ndarray, landmarks: np.ndarray, sound: np.ndarray, rate: int
) -> str | None:
    """What is wrong with a clip, or None.

    Args:
        settings: with weights.
        frames: (n, S, S, 3) uint8 RGB at 25 frames/s. landmarks: (n, 478, 3) px of them.
        sound: (samples,) float32. rate: Hz.

    """
    from stages.evaluation.metrics.lip_sync import lip_sync
    from stages.features.sync_inputs import mfcc

    net, crops = judge(settings.weights)
    found = lip_sync(net, crops(frames, landmarks, net.config["size"]), mfcc(sound, rate, len(frames)), settings.vshift)
    if abs(found.offset) > settings.max_offset:
        return f"sound and picture are {abs(found.offset)} frames apart, more than crop.sync.max_offset"
    if found.confidence < settings.min_confidence:
        return f"sync confidence {found.confidence:.2f} is less than crop.sync.min_confidence"
    return None


@lru_cache(maxsize=1)
def judge(weights: str) -> tuple[SyncNet, Callable[..., np.ndarray]]:
    """The network in a file, published or trained here, and the crops it was trained on.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold a SyncNet.
    """
    from dreamtalk_models import checkpoints, syncnet
    from stages.features.sync_inputs import face_crops, mouth_crops

    if Path(weights).suffix == ".safetensors":
        return checkpoints.load(weights, syncnet.SyncNet), mouth_crops
    return checkpoints.load_official("syncnet", weights), face_crops
