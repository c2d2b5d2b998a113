"""What is seen through the openings of a face mesh: eyes behind the lids, teeth and tongue behind the lips.

Plain geometry on landmark positions in pixels, and one small drawn picture of a mouth's inside.
"""

from __future__ import annotations

import cv2
import numpy as np

from dreamtalk_models.face_topology import CONTOUR

MOUTH_SIZE = 48  # side of each of the two drawn patches, px
_TEETH_HEIGHT = 0.16  # of half the face's size
_TEETH_WIDTH = 0.94  # of the mouth's
_LASHES_FROM = 0.55  # share of the eye's opening that has gone before the lash line shows


def mouth_atlas(size: int = MOUTH_SIZE) -> np.ndarray:
    """Drawn inside of a mouth, (size, 2 size, 3) uint8 RGB: left the cavity with the tongue, right the upper teeth."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / (size - 1)
    across = 2.0 * x - 1.0
    throat = np.exp(-((across / 0.75) ** 2) - ((y - 0.45) / 0.5) ** 2)
    cavity = np.array([62.0, 26.0, 26.0]) + throat[..., None] * np.array([-34.0, -16.0, -14.0])
    tongue = 1.0 / (1.0 + np.exp(-18.0 * (y - 0.62 - 0.22 * across**2)))
    tongue *= np.clip(1.2 - across**2, 0.0, 1.0)
    groove = 1.0 - 0.25 * np.exp(-((across / 0.09) ** 2))
    flesh = np.array([168.0, 84.0, 82.0]) * (groove * (0.7 + 0.3 * y))[..., None]
    cavity += tongue[..., None] * (flesh - cavity)

    enamel = 1.0 - 0.10 * np.exp(-((np.sin(np.pi * 4.0 * across) / 0.35) ** 2))
    enamel *= (0.75 + 0.25 * np.clip(y * 4.0, 0.0, 1.0)) * np.sqrt(np.clip(1.1 - 0.8 * across**2, 0.0, 1.0))
    edge = 0.86 - 0.30 * across**2
    covered = 1.0 / (1.0 + np.exp(30.0 * (y - edge))) / (1.0 + np.exp(30.0 * (np.abs(across) - 0.9)))
    dark = np.array([44.0, 20.0, 19.0])
    teeth = dark + covered[..., None] * (np.array([238.0, 228.0, 208.0]) * enamel[..., None] - dark)
    return np.clip(np.concatenate([cavity, teeth], axis=1), 0, 255).astype(np.uint8)


def mouth_light(portrait: np.ndarray, landmarks: np.ndarray) -> float:
    """How bright the drawn mouth should be beside this face, 0.75 to 1."""
    outline = np.rint(landmarks[list(CONTOUR)]).astype(np.int32)
    face = cv2.fillConvexPoly(np.zeros(portrait.shape[:2], np.uint8), outline, 1) > 0
    return float(np.clip(np.percentile(portrait[face].mean(axis=1), 75) / 205, 0.75, 1.0)) if face.any() else 1.0


def eye_nodes(source: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Where an eye's picture lies, (16, 2): as open as in the portrait, however far the lids have come down.

    source, moved: (16, 2) ring of the lids in the portrait and in the frame, starting in a corner.
    """
    axis, was = moved[8] - moved[0], source[8] - source[0]
    length, before = max(float(np.linalg.norm(axis)), 1e-6), max(float(np.linalg.norm(was)), 1e-6)
    along, along_before = axis / length, was / before
    normal = np.array([-along[1], along[0]])
    offset = (moved - moved[0]) @ normal
    rest = (source - source[0]) @ (-along_before[1], along_before[0]) * (length / before)
    wide = np.where(np.abs(offset) > np.abs(rest), offset, rest)
    across = (source - source[0]) @ along_before * (length / before)
    return moved[0] + np.outer(across, along) + np.outer(wide, normal)


def mouth_nodes(lips: np.ndarray, face: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the drawn cavity and of the drawn upper teeth, (4, 2) each.

    lips: (20, 2) inner lips in the frame; face: half the face's size there, px. The teeth keep their height
    however wide the mouth opens.
    """
    across = lips[10] - lips[0]
    width = max(float(np.linalg.norm(across)), 1e-6)
    along = across / width
    down = np.array([-along[1], along[0]])
    middle = (lips[0] + lips[10]) / 2
    heights = (lips - middle) @ down
    half = along * (width / 2 + 1.0)
    top, bottom = down * (heights.min() - 1.0), down * (heights.max() + 1.0)
    cavity = np.array([middle - half + top, middle + half + top, middle + half + bottom, middle - half + bottom])
    tall = down * (_TEETH_HEIGHT * face)
    narrow = along * (_TEETH_WIDTH / 2 * width)
    crown = lips[15] - 0.2 * tall
    return cavity, np.array([crown - narrow, crown + narrow, crown + narrow + tall, crown - narrow + tall])


def opening(ring: np.ndarray) -> float:
    """Mean distance of the lids, across the eye, over its width, from a ring (16, 2) that starts in a corner."""
    axis = ring[8] - ring[0]
    lids = ring[[4, 5, 3]] - ring[[12, 11, 13]]
    return float(np.abs(axis[0] * lids[:, 1] - axis[1] * lids[:, 0]).mean() / max(axis @ axis, 1e-6))


def draw_lashes(picture: np.ndarray, source: np.ndarray, moved: np.ndarray, colour: np.ndarray) -> None:
    """Draw, in place, the dark line where a closing upper lid meets the lower; nothing on an open eye.

    picture: (H, W, 3) uint8; source, moved: (16, 2) rings as in `eye_nodes`; colour: (3,).
    """
    shut = 1.0 - opening(moved) / max(opening(source), 1e-6)
    if shut < _LASHES_FROM:
        return
    line = np.concatenate([moved[:1], moved[:7:-1]])
    low, high = bounds(line, 4)
    part = picture[low[1] : high[1], low[0] : high[0]]
    if part.size == 0:
        return
    ink = np.zeros(part.shape[:2], np.uint8)
    thickness = max(1, round(0.06 * float(np.linalg.norm(moved[8] - moved[0]))))
    cv2.polylines(ink, [np.rint((line - low) * 16).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, 4)
    alpha = (ink / 255.0 * 0.75 * min((shut - _LASHES_FROM) / 0.3, 1.0))[..., None]
    part[:] = part + alpha * (colour - part)


def bounds(points: np.ndarray, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest pixel (x, y), the highest exclusive, of a box round points (n, 2); never negative."""
    low = np.maximum(np.floor(points.min(0)).astype(int) - margin, 0)
    return low, np.maximum(np.ceil(points.max(0)).astype(int) + margin + 1, low)
