"""Which square of the picture becomes the clip."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from stages.corpus.faces import edge
from stages.corpus.takes import shrunk

STRAY = 2  # percent of frames at either end whose face may stick out of the window
OUTSIDE = 0.1  # of its edge that a face may stick out of the picture


def window(boxes: np.ndarray, margin: float, size: tuple[int, int]) -> tuple[int, int, int]:
    """The one square, x y edge in px, that shows a face in all frames of a clip.

    Args:
        boxes: (n, 4) face boxes x0 y0 x1 y1.
        margin: space on every side, in edges of the square that just holds the face.
        size: width and height of the frame. The square is moved, then shrunk to fit in; only a face that is larger
            than the frame makes it stick out.
    """
    low, high = np.percentile(boxes[:, :2], STRAY, axis=0), np.percentile(boxes[:, 2:], 100 - STRAY, axis=0)
    extent = float((high - low).max())
    side = round(max(min(extent * (1 + 2 * margin), *size), min(extent, max(size))))
    corner = np.round((low + high - side) / 2).astype(int)
    room = np.array(size) - side
    x, y = np.where(room >= 0, np.clip(corner, 0, np.maximum(room, 0)), corner)
    return int(x), int(y), max(int(side), 2)


def sticks_out(boxes: np.ndarray, margin: float, size: tuple[int, int]) -> bool:
    """Does the square that `margin` asks for need more than the frame? See :func:`window`."""
    low, high = np.percentile(boxes[:, :2], STRAY, axis=0), np.percentile(boxes[:, 2:], 100 - STRAY, axis=0)
    half = float((high - low).max()) * (1 + 2 * margin) / 2
    middle = (low + high) / 2
    return bool((middle < half).any() or (middle + half > size).any())


def share_outside(boxes: np.ndarray, squares: np.ndarray, size: tuple[int, int]) -> float:
    """Share of frames in which a good part of the face is not in the clip.

    Args:
        boxes: (n, 4) face boxes x0 y0 x1 y1. squares: (n, 3) x y edge. size: width and height of the frame; px all.
    """
    low = np.maximum(squares[:, :2], 0)
    high = np.minimum(squares[:, :2] + squares[:, 2:], size)
    missing = np.maximum(low - boxes[:, :2], boxes[:, 2:] - high).max(axis=1)
    return float((missing > OUTSIDE * edge(boxes)).mean())


def windows(boxes: np.ndarray, margin: float, size: tuple[int, int], smoothing: float) -> np.ndarray:
    """Squares of one size, (n, 3) x y edge in px, that show a face in each frame.

    Args:
        boxes, margin, size: see :func:`window`.
        smoothing: standard deviation, in frames, of the Gaussian that the face's path is smoothed with; 0: the square
            stands still.
    """
    if smoothing == 0:
        return np.tile(window(boxes, margin, size), (len(boxes), 1))
    middle = gaussian_filter1d((boxes[:, :2] + boxes[:, 2:]) / 2, smoothing, axis=0, mode="nearest")
    reach = np.percentile(np.maximum(boxes[:, 2:] - middle, middle - boxes[:, :2]).max(axis=1), 100 - STRAY)
    side = max(min(round(float(2 * reach) * (1 + 2 * margin)), *size), 2)
    corner = np.clip(np.round(middle - side / 2), 0, np.array(size) - side).astype(int)
    return np.concatenate([corner, np.full((len(corner), 1), side)], axis=1)


def cut_out(rgb: np.ndarray, square: tuple[int, int, int], size: int) -> np.ndarray:
    """A square of a frame at size x size px; what lies outside the frame repeats its edge."""
    x, y, side = square
    height, width = rgb.shape[:2]
    top, left, bottom, right = max(-y, 0), max(-x, 0), max(y + side - height, 0), max(x + side - width, 0)
    part = rgb[max(y, 0) : y + side, max(x, 0) : x + side]
    if top or left or bottom or right:
        part = cv2.copyMakeBorder(part, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return shrunk(part, size, size) if side >= size else cv2.resize(part, (size, size), interpolation=cv2.INTER_CUBIC)
