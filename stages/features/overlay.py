"""A fitted mesh drawn over the pictures that it was fitted to."""

from __future__ import annotations

import cv2
import numpy as np

LINE_BITS = 4  # fractional bits of drawn coordinates
GREEN = (0, 255, 0)


def with_mesh(frame: np.ndarray, mesh: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 with the edges of a mesh (V, 2 or more) px on it; a side that is odd loses a pixel."""
    height, width = (side // 2 * 2 for side in frame.shape[:2])
    lines = (mesh[triangles][..., :2] * 2**LINE_BITS).round().astype(np.int32)
    return cv2.polylines(frame[:height, :width].copy(), list(lines), True, GREEN, 1, cv2.LINE_AA, LINE_BITS)
