"""Head poses as the published fits (Deep3DFaceRecon's) write them, and ours.

Theirs: angles with yaw and roll the other way round; a pinhole camera of focal length 1015 px before which the face
stands at distance 10 in decimetres, in a 224 px square; and where that square lies in the frame: width and height of
the frame, the square's scale, and x and y (from below) of its middle. Ours, in the frame itself: px, px and the
logarithm of px per model unit. UNIT and DROP were measured against 24 published fits of real clips: with them, the two
ways to say where a face is differ by about a pixel of 256 within a clip, besides a constant of a few.
"""

from __future__ import annotations

import numpy as np
import torch

from dreamtalk_models.face_model import rotation_matrix
from stages.evaluation.motion import Pose

PUBLISHED_TURN = np.float32([1, -1, -1])
"""Pitch, yaw, roll there, against ours: on clips that turn their heads they correlate by 0.92 to 0.99."""

FOCAL, DISTANCE = 1015.0, 10.0
UNIT = 0.62
"""Decimetres in one of our units, the distance between the eyes; 0.60 to 0.66 by clip."""
DROP = 0.56
"""The origin there is so many of our units below ours, in the face's own frame; 0.52 to 0.62 by clip."""


def to_published(pose: Pose, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles (n, 3), translation (n, 3) and transform_params (n, 5), float32; `size` is (width, height) of the frame.

    The translation is zero: the square is laid round the face so that the face stands in its middle.
    """
    scale = np.exp(pose.translation[:, 2])
    x, y = (pose.translation[:, :2] + _drop(pose.angles, scale)).T
    square = FOCAL / DISTANCE * UNIT / scale
    rows = np.broadcast_to(np.float32(size), (len(scale), 2))
    params = np.column_stack([rows, square, x, size[1] - y])
    return pose.angles * PUBLISHED_TURN, np.zeros((len(scale), 3), np.float32), params.astype(np.float32)


def from_published(angles: np.ndarray, translation: np.ndarray, params: np.ndarray) -> Pose:
    """The pose of angles (n, 3), translation (n, 3) and transform_params (n, 5)."""
    turned = angles * PUBLISHED_TURN
    per_decimetre = FOCAL / (DISTANCE - translation[:, 2]) / params[:, 2]
    scale = UNIT * per_decimetre
    place = np.column_stack([params[:, 3], params[:, 1] - params[:, 4]])
    place += per_decimetre[:, None] * translation[:, :2] * (1, -1) - _drop(turned, scale)
    return Pose(turned.astype(np.float32), np.column_stack([place, np.log(scale)]).astype(np.float32))


def _drop(angles: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """From our origin to theirs in the picture, (n, 2) px."""
    down = rotation_matrix(torch.from_numpy(np.array(angles)))[:, :2, 1].numpy()
    return DROP * scale[:, None] * down
