"""What SyncNet sees and hears, the same for training and judging: mouth crops and MFCC, in windows of 0.2 s.

Protocol of SyncNet v2 (Chung and Zisserman 2016; joonson/syncnet_python): 25 frames/s, 5 frames beside 20 MFCC steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import python_speech_features
import torch
from scipy.ndimage import median_filter
from torch import Tensor

FPS = 25
MFCC_RATE = 100  # steps a second
CEPSTRA = 13
WINDOW = 5  # frames
STEPS_PER_FRAME = MFCC_RATE // FPS
EYE_CORNERS = (33, 263)  # outer ones, FaceMesh
MOUTH_CORNERS = (61, 291)
SMOOTHING = 13  # frames, of the median filter over the crop's path (published)
CROP_SCALE = 0.4  # margin around the face box (published)


def mouth_crops(frames: np.ndarray, landmarks: np.ndarray, size: int) -> np.ndarray:
    """Upright squares around the mouth, for a SyncNet trained on them.

    Centre: the middle of the mouth corners, median-filtered over 13 frames. Edge: the distance of the outer eye corners
    in 3D (so that turning the head does not zoom), median over the clip; it reaches from the nose to the chin. Beyond
    the picture its edge pixels repeat.

    Args:
        frames: (n, H, W, 3) uint8 RGB.
        landmarks: (n, 478, 3) or (n, 478·3) px of these frames.
        size: px, edge of the crops returned.

    Returns:
        (n, size, size, 3) uint8 RGB.

    Raises:
        ValueError: not as many landmarks as frames.
    """
    points = _points(frames, landmarks)
    centre = points[:, MOUTH_CORNERS, :2].mean(1)
    edge = np.linalg.norm(points[:, EYE_CORNERS[0]] - points[:, EYE_CORNERS[1]], axis=1)
    return _squares(frames, centre, float(np.median(edge)), size)


def face_crops(frames: np.ndarray, landmarks: np.ndarray, size: int = 224) -> np.ndarray:
    """Squares around face and chin as in SyncNet's own pipeline, for its published weights.

    With b = half of the longer side of the face box, the square has edge 2.8 b and lies 0.4 b below the box's centre.
    The box is that of the landmarks, where the published pipeline has S3FD's. Arguments and result as in
    :func:`mouth_crops`.
    """
    points = _points(frames, landmarks)[..., :2]
    low, high = points.min(1), points.max(1)
    half = float(np.median((high - low).max(1))) / 2
    centre = (low + high) / 2 + np.array([0, CROP_SCALE * half])
    return _squares(frames, centre, 2 * half * (1 + CROP_SCALE), size)


def mfcc(samples: np.ndarray, rate: int, frames: int | None = None) -> np.ndarray:
    """13 mel cepstra at 100 Hz (25 ms windows, energy in place of the first), rows 4i..4i+3 beside frame i.

    Args:
        samples: (samples,) float in [-1, 1]; taken at 16 bit scale, as the published network was.
        rate: Hz.
        frames: video frames to cover at 25 frames/s; sound is cut or continued with silence. None: those that begin
            before the sound ends.

    Returns:
        (4 · frames, 13) float32.
    """
    if frames is None:
        frames = -(-len(samples) * FPS // rate)
    wanted = STEPS_PER_FRAME * frames
    window = round(0.025 * rate)
    length = round((wanted - 1) * rate / MFCC_RATE) + window  # where the last window ends
    padded = np.zeros(max(length, 1))
    kept = samples[: len(padded)]
    padded[: len(kept)] = kept * 32768.0
    steps = python_speech_features.mfcc(padded, rate, numcep=CEPSTRA, nfft=1 << (window - 1).bit_length())
    return steps[:wanted].astype(np.float32)


def window_starts(frames: int) -> range:
    """First frames of all windows that lie within a clip."""
    return range(max(0, frames - WINDOW + 1))


def lip_windows(crops: np.ndarray, starts: Sequence[int]) -> Tensor:
    """Windows of 5 crops: (n, S, S, 3) uint8 RGB → (B, 3, 5, S, S) float32 BGR, 0..255."""
    indices = np.asarray(starts, dtype=np.int64)[:, None] + np.arange(WINDOW)
    return torch.from_numpy(np.ascontiguousarray(crops[indices][..., ::-1])).permute(0, 4, 1, 2, 3).float()


def audio_windows(steps: np.ndarray, starts: Sequence[int]) -> Tensor:
    """Windows of 20 MFCC steps: (4n, 13) → (B, 1, 13, 20) float32, for the frames `starts`."""
    first = STEPS_PER_FRAME * np.asarray(starts, dtype=np.int64)
    indices = first[:, None] + np.arange(STEPS_PER_FRAME * WINDOW)
    return torch.from_numpy(steps[indices]).transpose(1, 2)[:, None].contiguous()


def _points(frames: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    if len(landmarks) != len(frames):
        raise ValueError(f"{len(landmarks)} sets of landmarks for {len(frames)} frames")
    return np.asarray(landmarks, dtype=np.float32).reshape(len(frames), -1, 3)


def _squares(frames: np.ndarray, centre: np.ndarray, edge: float, size: int) -> np.ndarray:
    path = median_filter(centre, size=(SMOOTHING, 1), mode="nearest").astype(float)
    patch = (max(1, round(edge)),) * 2
    crops = np.empty((len(frames), size, size, 3), dtype=np.uint8)
    for crop, frame, (x, y) in zip(crops, frames, path, strict=True):
        square = cv2.getRectSubPix(np.ascontiguousarray(frame), patch, (x, y))
        cv2.resize(square, (size, size), dst=crop, interpolation=cv2.INTER_AREA)
    return crops
