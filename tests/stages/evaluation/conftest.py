"""A talking photograph for the tests of the room."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import pytest
import skimage.data

from dreamtalk_models.renderers.mesh_warp import MeshWarper
from stages.corpus.faces import FaceMesh

LOWER_LIP_AND_CHIN = (
    14,
    87,
    317,
    178,
    402,
    88,
    318,
    17,
    84,
    314,
    181,
    405,
    91,
    321,
    152,
    148,
    377,
    176,
    400,
    175,
    199,
    200,
)
RATE = 16000


class Talking(NamedTuple):
    """(30, 256, 256, 3) uint8 RGB frames of a mouth that opens four times, and sound that is loud when it is open."""

    frames: np.ndarray
    sound: np.ndarray


@pytest.fixture(scope="session")
def talking() -> Talking:
    picture = cv2.resize(skimage.data.astronaut()[:256, 96:352], (256, 256), interpolation=cv2.INTER_AREA)
    with FaceMesh(static=True) as mesh:
        points = mesh.landmarks(picture)[:468]
    time = np.arange(30)
    opening = 8 * np.sin(2 * np.pi * time / 15) ** 2
    targets = np.repeat(points[None], len(time), axis=0)
    targets[:, LOWER_LIP_AND_CHIN, 1] += opening[:, None]
    warper = MeshWarper(picture, points)
    frames = np.stack([warper.frame(target) for target in targets])
    noise = np.random.default_rng(0).normal(size=RATE * len(time) // 25)
    sound = noise * np.repeat(opening / 40, RATE // 25)
    return Talking(frames, sound.astype(np.float32).clip(-1, 1))
