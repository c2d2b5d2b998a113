"""What is seen through the openings of a face mesh: eyes behind the lids, teeth and tongue behind the lips.

Plain geometry on landmark positions in pixels, and one small drawn picture of a mouth's inside.
"""

from __future__ import annotations

import cv2
import numpy as np

from dreamtalk_models.face_topology import CONTOUR, INNER_LIPS, LEFT_EYE, RIGHT_EYE

MOUTH_SIZE = 48  # side of each of the two drawn patches, px
_TEETH_HEIGHT = 0.13  # of half the face's size
_TEETH_WIDTH = 0.94  # of the mouth's
_OPEN_MOUTH = 0.12  # lip gap over mouth width from which a portrait may show teeth of its own
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
    # the upper lip's shadow, and that of the cheeks on the molars
    enamel *= (0.6 + 0.4 * np.clip(y * 2.0, 0.0, 1.0)) * np.clip(1.05 - 0.85 * across**2, 0.0, 1.0)
    edge = 0.86 - 0.30 * across**2
    covered = 1.0 / (1.0 + np.exp(30.0 * (y - edge))) / (1.0 + np.exp(30.0 * (np.abs(across) - 0.9)))
    dark = np.array([44.0, 20.0, 19.0])
    teeth = dark + covered[..., None] * (np.array([212.0, 204.0, 195.0]) * enamel[..., None] - dark)
    return np.clip(np.concatenate([cavity, teeth], axis=1), 0, 255).astype(np.uint8)


def mouth_light(portrait: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """How bright the drawn mouth should be beside this face, and how tinted: (3,) of RGB, 0.66 to 1.06.

    Brightness is the skin's; the tint of the light is that of the whites of the eyes, which lids make redder.
    """
    face = _within([landmarks[list(CONTOUR)]], portrait)
    eyes = _within([landmarks[list(ring)] for ring in (RIGHT_EYE, LEFT_EYE)], portrait)
    if not len(face) or not len(eyes):
        return np.ones(3)
    level = np.clip(np.percentile(face.mean(1), 75) / 205, 0.7, 1.0)
    white = eyes[eyes.mean(1) >= np.percentile(eyes.mean(1), 80)].mean(0)
    return level * np.clip(white / max(white.mean(), 1.0), 0.94, 1.06)


def shows_teeth(portrait: np.ndarray, landmarks: np.ndarray) -> bool:
    """Whether the mouth of a portrait is open on bright teeth, landmarks (468, 2) px, so that they need no drawing."""
    lips = landmarks[list(INNER_LIPS)]
    if np.linalg.norm(lips[5] - lips[15]) < _OPEN_MOUTH * np.linalg.norm(lips[10] - lips[0]):
        return False
    face, inside = _within([landmarks[list(CONTOUR)]], portrait), _within([lips], portrait)
    return bool(len(face)) and bool(np.median(inside.mean(1)) > np.median(face.mean(1)))


def _within(outlines: list[np.ndarray], portrait: np.ndarray) -> np.ndarray:
    """Pixels (n, 3) of a portrait inside outlines (p, 2 or 3) px."""
    mask = np.zeros(portrait.shape[:2], np.uint8)
    for outline in outlines:
        cv2.fillPoly(mask, [np.rint(outline[:, :2]).astype(np.int32)], 1)
    return portrait[mask > 0]


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
    crown = lips[15] - 0.3 * tall
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
