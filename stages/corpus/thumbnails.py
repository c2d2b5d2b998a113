"""Small pictures of what was rejected."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np

from stages.corpus.decode import MediaError, frames
from stages.corpus.takes import shrunk

EDGE = 128  # px, longer side


def thumbnail(rgb: np.ndarray) -> str:
    """A frame as a small JPEG, in base64."""
    height, width = rgb.shape[:2]
    scale = EDGE / max(height, width)
    small = shrunk(rgb, max(1, round(width * scale)), max(1, round(height * scale)))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data).decode()


def glimpse(path: Path, start: float = 0.0) -> str | None:
    """A thumbnail of a video a moment after `start` seconds, or of its first frame; None where nothing is readable."""
    found = None
    try:
        for number, rgb in enumerate(frames(path, 1.0, start)):
            found = rgb
            if number == 1:
                break
    except (MediaError, OSError, ValueError):
        pass
    return None if found is None else thumbnail(found)
