"""The photograph that every demo speaker is made from, with its face mesh and a neutral, symmetric face shape.

The picture is `skimage.data.astronaut()`: NASA's portrait of Eileen Collins, public domain, inside
scikit-image's wheel. Shapes are in units of the distance between the outer eye corners; x right, y down,
z away from the camera, the origin midway between the outer eye corners.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import skimage.data
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from dreamtalk_models.face_topology import VERTICES
from dreamtalk_models.renderers.mesh_warp import face_mesh_triangles

# Points on both sides (or on the middle line) that start the search for each point's mirror image.
_MIRROR_SEEDS = ((33, 263), (61, 291), (127, 356), (10, 10), (152, 152), (1, 1), (168, 168))
RIGHT_CORNER, LEFT_CORNER, FOREHEAD, CHIN = 33, 263, 10, 152


@dataclass(frozen=True)
class Photograph:
    """image: (512, 512, 3) uint8 RGB; landmarks: (468, 3) px in it; shape: (468, 3) symmetric and frontal, as
    the photograph shows it (smiling); mirror: (468,) index of each point's mirror image; mesh: (t, 3)
    triangles."""

    image: np.ndarray
    landmarks: np.ndarray
    shape: np.ndarray
    mirror: np.ndarray
    mesh: np.ndarray


def _rigid(source: np.ndarray, target: np.ndarray, *, proper: bool) -> np.ndarray:
    """`source` (n, 3) turned and shifted onto `target`; a reflection only where `proper` is False."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, _, v = np.linalg.svd(a.T @ b)
    if proper and np.linalg.det(u @ v) < 0:
        u[:, -1] *= -1
    return a @ (u @ v) + target.mean(0)


def mirror_points(landmarks: np.ndarray) -> np.ndarray:
    """Index (468,) of each point's mirror image, found by matching the face with its own reflection."""
    seeds = np.array(_MIRROR_SEEDS)
    seeds = np.unique(np.concatenate([seeds, seeds[:, ::-1]]), axis=0)
    reflected = landmarks * (-1, 1, 1)
    source, target = reflected[seeds[:, 0]], landmarks[seeds[:, 1]]
    u, _, v = np.linalg.svd((source - source.mean(0)).T @ (target - target.mean(0)))
    placed = (reflected - source.mean(0)) @ (u @ v) + target.mean(0)
    for _ in range(10):
        mirror = linear_sum_assignment(cdist(placed, landmarks) ** 2)[1]
        placed = _rigid(reflected, landmarks[mirror], proper=True)
    return mirror


def symmetric_shape(landmarks: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """The face (468, 3) px turned to the front, made symmetric, in units of the outer eye corners' distance."""
    reflected = (landmarks * (-1, 1, 1))[mirror]
    shape = (landmarks + _rigid(reflected, landmarks, proper=True)) / 2
    right, left = shape[RIGHT_CORNER], shape[LEFT_CORNER]
    unit = np.linalg.norm(left - right)
    shape = (shape - (left + right) / 2) / unit
    x_axis = (left - right) / unit
    down = shape[CHIN] - shape[FOREHEAD]
    down -= down @ x_axis * x_axis
    y_axis = down / np.linalg.norm(down)
    shape = shape @ np.stack([x_axis, y_axis, np.cross(x_axis, y_axis)], axis=1)
    return (shape + shape[mirror] * (-1, 1, 1)) / 2


@cache
def photograph() -> Photograph:
    """Load the photograph and find its face mesh once per process (about a second)."""
    from mediapipe.python.solutions.face_mesh import FaceMesh

    image = skimage.data.astronaut()
    height, width = image.shape[:2]
    with FaceMesh(static_image_mode=True, max_num_faces=1, min_detection_confidence=0.3) as detector:
        faces = detector.process(image).multi_face_landmarks
    if not faces:
        raise RuntimeError("mediapipe found no face in the bundled photograph: reinstall mediapipe 0.10.21")
    points = [(p.x * width, p.y * height, p.z * width) for p in faces[0].landmark[:VERTICES]]
    landmarks = np.array(points)
    mirror = mirror_points(landmarks)
    return Photograph(image, landmarks, symmetric_shape(landmarks, mirror), mirror, face_mesh_triangles())
