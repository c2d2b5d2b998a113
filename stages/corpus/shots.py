"""Where one shot ends and the next begins: PySceneDetect's content score, made robust to fast heads."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

EDGE = 128  # px; more shows no cut that this does not
RATIO = 3.0  # of the scores just before (PySceneDetect's adaptive detector): a head shaken fast is no cut
MEMORY = 4  # scores just before


class ShotDetector:
    """Frames of one shot in, in order; says when one belongs to the next."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._before: np.ndarray | None = None
        self._scores: deque[float] = deque(maxlen=MEMORY)

    def is_cut(self, rgb: np.ndarray) -> bool:
        """Does a new shot begin with this frame? All frames must be of one size."""
        before, self._before = self._before, thumbnail(rgb)
        if before is None:
            return False
        score = content_change(before, self._before)
        usual = float(np.mean(self._scores)) if self._scores else 0.0
        self._scores.append(score)
        return score > max(self._threshold, RATIO * usual)


def thumbnail(rgb: np.ndarray) -> np.ndarray:
    """What a frame looks like to :func:`content_change`: every so many pixels, hue-saturation-value, int16."""
    step = -(-max(rgb.shape[:2]) // EDGE)
    return cv2.cvtColor(np.ascontiguousarray(rgb[::step, ::step]), cv2.COLOR_RGB2HSV).astype(np.int16)


def content_change(before: np.ndarray, after: np.ndarray) -> float:
    """Mean absolute difference of hue, saturation and value (0 to 255) of two thumbnails of one size.

    The score of PySceneDetect's ContentDetector with its default weights; its default threshold is 27.
    """
    return float(np.abs(after - before).mean())
