"""A speaker's portrait: the photograph recoloured, and warped from its own smiling face to the speaker's."""

from __future__ import annotations

import cv2
import numpy as np

from dreamtalk_models.face_topology import CONTOUR, INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from dreamtalk_models.renderers.mesh_warp import MeshWarper
from stages.corpus.demo.photograph import CHIN, LEFT_CORNER, RIGHT_CORNER, Photograph
from stages.corpus.demo.speakers import Speaker

_EYES_APART = 0.27  # of the frame's side
_EYE_LEVEL = 0.43
# Outlines in the photograph, px: what is skin, and what is hair where it is not skin.
_SKIN = ((184, 66), (186, 72), (205, 78), (220, 80), (247, 81), (262, 85), (267, 90), (270, 105), (268, 128),
         (282, 126), (280, 132), (270, 136), (261, 145), (256, 165), (255, 182), (235, 189), (210, 186), (186, 177),
         (184, 155), (182, 131), (176, 130), (170, 118), (182, 117), (185, 105), (183, 85))  # fmt: skip
_HAIR = ((170, 118), (157, 100), (153, 80), (157, 60), (172, 47), (190, 35), (197, 22), (212, 15), (230, 15), (250, 20),
         (270, 32), (285, 47), (295, 62), (302, 82), (298, 100), (285, 123), (275, 132), (262, 130), (225, 100),
         (185, 130))  # fmt: skip
_BACKDROP = (79.0, 1.5, 4.5)  # CIELAB
_BEARD = (
    93,
    132,
    58,
    172,
    136,
    150,
    149,
    176,
    148,
    152,
    377,
    400,
    378,
    379,
    365,
    397,
    288,
    361,
    323,
    436,
    391,
    2,
    165,
    216,
)
_RIGHT_BROW, _LEFT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
_PERSPECTIVE = 0.12  # growth of what lies one unit nearer


def project(
    shapes: np.ndarray,
    size: int,
    placement: np.ndarray,
    angles: np.ndarray | None = None,
    shift: np.ndarray | None = None,
) -> np.ndarray:
    """Frame positions and depth (n, 468, 3) px of face shapes (n, 468, 3): turned about the top of the
    neck, shifted, in weak perspective.

    angles: (n, 3) pitch, yaw, roll in radians; shift: (n, 2); placement: (3,) x, y and scale of the head.
    """
    if angles is not None:
        pivot = np.array([0.0, 0.9, 0.55])
        shapes = np.einsum("nvi,nji->nvj", shapes - pivot, rotations(angles)) + pivot
    flat = shapes[..., :2] * (1 - _PERSPECTIVE * shapes[..., 2:])
    if shift is not None:
        flat = flat + shift[:, None]
    x, y, scale = placement
    unit = size * _EYES_APART * scale
    flat = flat * unit + (size * (0.5 + x), size * (_EYE_LEVEL + y))
    return np.concatenate([flat, shapes[..., 2:] * unit], axis=2)


def rotations(angles: np.ndarray) -> np.ndarray:
    """Rotation matrices (n, 3, 3) of pitch, yaw and roll (n, 3) in radians: roll after yaw after pitch."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(angles).T, np.sin(angles).T
    o, i = np.zeros_like(cx), np.ones_like(cx)
    pitch = np.stack([i, o, o, o, cx, -sx, o, sx, cx], axis=1).reshape(-1, 3, 3)
    yaw = np.stack([cy, o, sy, o, i, o, -sy, o, cy], axis=1).reshape(-1, 3, 3)
    roll = np.stack([cz, -sz, o, sz, cz, o, o, o, i], axis=1).reshape(-1, 3, 3)
    return roll @ yaw @ pitch


def make_portrait(photo: Photograph, speaker: Speaker, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The speaker at rest: portrait (size, size, 3) uint8 RGB and its landmarks (468, 3) px."""
    landmarks = project(speaker.shape[None], size, speaker.placement)[0]
    ends = [RIGHT_CORNER, LEFT_CORNER, CHIN]
    seen = project(photo.shape[None], size, speaker.placement)[0, :, :2]
    fit, _ = cv2.estimateAffinePartial2D(photo.landmarks[ends, :2].astype(np.float32), seen[ends].astype(np.float32))
    picture = cv2.warpAffine(
        recolour(photo, speaker), fit, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
    )
    placed = photo.landmarks[:, :2] @ fit[:, :2].T + fit[:, 2]
    portrait = MeshWarper(picture, placed, mesh=photo.mesh).frame(landmarks)
    return _with_seam(portrait, landmarks), landmarks


def _with_seam(portrait: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The shadow line between closed lips."""
    ink = np.zeros(portrait.shape[:2], np.uint8)
    line = np.rint(landmarks[list(INNER_LIPS[:11]), :2] * 16).astype(np.int32)
    cv2.polylines(ink, [line], False, 255, max(1, portrait.shape[0] // 200), cv2.LINE_AA, 4)
    shade = 1 - 0.6 * cv2.GaussianBlur(ink, (0, 0), portrait.shape[0] / 500)[..., None] / 255.0
    return (portrait * shade + 0.5).astype(np.uint8)


def _soft(mask: np.ndarray, blur: float) -> np.ndarray:
    return cv2.GaussianBlur(mask.astype(np.float32), (0, 0), blur)


def _filled(polygon, shape: tuple[int, int]) -> np.ndarray:
    return cv2.fillPoly(np.zeros(shape, np.uint8), [np.rint(polygon).astype(np.int32)], 1)


def recolour(photo: Photograph, speaker: Speaker) -> np.ndarray:
    """The photograph (512, 512, 3) uint8 RGB with the speaker's skin, hair, backdrop and beard."""
    lab = cv2.cvtColor(photo.image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    shape, points = lab.shape[:2], photo.landmarks[:, :2]
    eyes = _filled(points[list(RIGHT_EYE)], shape) | _filled(points[list(LEFT_EYE)], shape)
    mouth = _filled(points[list(INNER_LIPS)], shape)
    near = np.linalg.norm((lab - _BACKDROP) * (0.45, 1.0, 1.0), axis=2) < 14
    near &= (_filled(points[list(CONTOUR)], shape) | cv2.erode(_filled(_SKIN, shape), np.ones((7, 7), np.uint8))) == 0
    plain = cv2.morphologyEx(near.astype(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    rim = np.ones((5, 5), np.uint8)
    skin = _soft(cv2.dilate(_filled(_SKIN, shape), rim[:3, :3]) * (1 - plain), 1.0)
    hair = np.clip(_soft(cv2.dilate(_filled(_HAIR, shape), rim) * (1 - plain), 0.8) - skin, 0, 1)
    backdrop = np.clip(_soft(cv2.dilate(plain, rim), 0.8) - skin - hair, 0, 1)
    skin *= 1 - _soft(eyes | mouth, 0.8)
    chin = _soft(_filled(points[list(_BEARD)], shape), 5.0)
    beard = skin * chin * (1 - _soft(_filled(points[list(OUTER_LIPS)], shape), 1.0))
    brows = skin * _soft(np.maximum(*(_filled(points[list(brow)], shape) for brow in (_RIGHT_BROW, _LEFT_BROW))), 1.0)
    for mask, (gain, a, b) in ((skin, speaker.skin), (hair, speaker.hair), (backdrop, speaker.backdrop)):
        lab[..., 0] *= 1 + mask * (gain - 1)
        lab[..., 1] += mask * a
        lab[..., 2] += mask * b
    lips = skin * _soft(np.clip(_filled(points[list(OUTER_LIPS)], shape) - mouth.astype(np.int16), 0, 1), 0.8)
    lab[..., 0] *= 1 - 0.14 * lips
    lab[..., 1] += speaker.lips * lips
    lab[..., 0] *= 1 - 0.24 * speaker.stubble * beard
    lab[..., 0] *= 1 - 0.75 * speaker.brows * brows
    # No teeth may shine through where the lips of the portrait meet.
    inside = _soft(cv2.dilate(mouth, np.ones((3, 3), np.uint8)), 0.6)[..., None]
    lab += inside * (np.median(lab[lips > 0.8], axis=0) - lab)
    rgb = cv2.cvtColor(np.clip(lab, (0, -90, -90), (100, 90, 90)).astype(np.float32), cv2.COLOR_LAB2RGB)
    return (np.clip(rgb, 0, 1) * 255 + 0.5).astype(np.uint8)
