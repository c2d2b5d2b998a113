"""SyncNet's confidence, distance and offset (Chung and Zisserman 2016; joonson/syncnet_python)."""

from __future__ import annotations

import numpy as np
import torch

from dreamtalk_models.syncnet import SyncNet, SyncOffset, sync_offset
from stages.features.sync_inputs import audio_windows, lip_windows, window_starts

BATCH = 32  # windows a step; it bounds memory and changes no result


@torch.inference_mode()
def lip_sync(net: SyncNet, crops: np.ndarray, mfcc: np.ndarray, vshift: int) -> SyncOffset:
    """Score a clip by the published protocol.

    Windows of 5 frames at every frame, L2 distance of lip and sound embeddings at every shift of up to `vshift`
    frames, mean over the clip. Distance (LSE-D) is its minimum, lower is better; confidence (LSE-C) is its median minus
    its minimum, higher is better; offset is the shift in frames of the minimum, 0 in sync. Embedding units: comparable
    only within one judge and one way of cropping. Clips that are not much longer than `vshift` are biased, because
    sound beyond the ends counts as zeros.

    Args:
        net: the judge, in eval mode.
        crops: (n, size, size, 3) uint8 RGB, cropped as the judge's training data were.
        mfcc: (4n, 13) from `sync_inputs.mfcc`.

    Raises:
        ValueError: fewer than five frames, or the sound does not cover them.
    """
    starts = window_starts(len(crops))
    if not starts:
        raise ValueError(f"SyncNet needs at least five frames: {len(crops)}")
    if len(mfcc) < 4 * len(crops):
        raise ValueError(f"{len(mfcc)} MFCC steps do not cover {len(crops)} frames")
    lips, sounds = [], []
    for first in range(0, len(starts), BATCH):
        batch = starts[first : first + BATCH]
        lips.append(net.forward_lip(lip_windows(crops, batch)))
        sounds.append(net.forward_audio(audio_windows(mfcc, batch)))
    return sync_offset(torch.cat(lips), torch.cat(sounds), vshift)
