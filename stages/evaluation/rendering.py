"""The two renderers: a portrait and its motion become frames, (H, W, 3) uint8 RGB, one after another.

:func:`warp` needs no training and runs in real time on one core; :func:`draw` paints with the trained PIRenderer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import torch

from dreamtalk_models.face_model import rotation_matrix
from dreamtalk_models.renderers.mesh_warp import MeshWarper
from stages.evaluation.inputs import InputError

if TYPE_CHECKING:
    from dreamtalk_models.face_model import FaceModel
    from dreamtalk_models.renderers.pirenderer import PIRenderer
    from stages.evaluation.motion import Motion
    from stages.evaluation.portrait import Portrait

UPPER_INNER_LIP = (191, 80, 81, 82, 13, 312, 311, 310, 415)  # from corner to corner of mediapipe's mesh, each
LOWER_INNER_LIP = (95, 88, 178, 87, 14, 317, 402, 318, 324)  # point over that of the lower lip which it meets
GPU_BATCH = 8  # frames drawn at once; bounds memory, changes no result. One by one on a CPU, whose caches hold no more


def landmark_targets(model: FaceModel, portrait: Portrait, motion: Motion) -> np.ndarray:
    """Where the portrait's landmarks go: (n, 468, 3) px.

    The face model's projection of the motion, plus what of this very face the model cannot say: the difference
    between the portrait's own landmarks and their fit, turned and scaled with the head.

    Raises:
        InputError: the face model's vertices are not MediaPipe's, as those of published models are not.
    """
    if not model.is_mediapipe:
        raise InputError(
            "the mesh warp needs a face model whose vertices are MediaPipe's (face_model.kind: mediapipe_pca); "
            "with another one, use the renderer pirenderer"
        )
    identity, expression, angles, translation = map(
        _tensor, (portrait.identity, motion.expression, motion.pose.angles, motion.pose.translation)
    )
    own_angles, own_translation = _tensor(portrait.angles), _tensor(portrait.translation)
    fitted = model.project(identity, _tensor(portrait.expression), own_angles, own_translation)
    rest = _tensor(portrait.landmarks) - fitted
    rest[:, 2] -= rest[:, 2].mean()  # depths of landmarks have no common zero
    turn = rotation_matrix(angles) @ rotation_matrix(own_angles).mT
    scale = (translation[:, 2] - own_translation[2]).exp()[:, None, None]
    moved = model.project(identity, expression, angles, translation) + scale * (rest @ turn.mT)
    return uncrossed_lips(moved, rotation_matrix(angles)[:, :, 1]).numpy()


def uncrossed_lips(landmarks: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Landmarks (n, 468, 3) in which lips that had gone through each other touch.

    A linear model adds an unseen face's rest to any expression, so nothing else keeps its lips apart.

    Args:
        down: (n, 3) unit vectors, from the head's top to its chin.
    """
    upper, lower = list(UPPER_INNER_LIP), list(LOWER_INNER_LIP)
    gap = ((landmarks[:, lower] - landmarks[:, upper]) * down[:, None]).sum(-1)
    half = (-gap).clamp(min=0)[..., None] / 2 * down[:, None]
    closed = landmarks.clone()
    closed[:, upper] -= half
    closed[:, lower] += half
    return closed


def driving(motion: Motion) -> np.ndarray:
    """PIRenderer's coefficients of each frame: expression, angles, translation and crop, (n, D + 9)."""
    crop = np.tile(np.float32([1, 0, 0]), (len(motion), 1))
    return np.concatenate([motion.expression, motion.pose.angles, motion.pose.translation, crop], axis=1)


def warp(
    model: FaceModel,
    picture: np.ndarray,
    portrait: Portrait,
    motion: Motion,
    background: Literal["still", "follow"] = "still",
) -> Iterator[np.ndarray]:
    """Frames of `picture` (H, W, 3) warped by its own face mesh; background as of :class:`MeshWarper`."""
    warper = MeshWarper(picture, portrait.landmarks, background=background)
    return map(warper.frame, landmark_targets(model, portrait, motion))


def draw(
    network: PIRenderer, picture: np.ndarray, coefficients: np.ndarray, radius: int, size: int
) -> Iterator[np.ndarray]:
    """Frames drawn by PIRenderer at (size, size), returned at the picture's size.

    Args:
        picture: (H, H, 3) portrait, framed as the clips that the network was trained on.
        coefficients: (n, D + 9), see :func:`driving`.
        radius: driving frames either side of each; beyond the ends the last one repeats (Ren et al. 2021).
    """
    height, width = picture.shape[:2]
    source = torch.from_numpy(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA))
    where = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    source = source.permute(2, 0, 1)[None].float().to(where) / 127.5 - 1
    network.to(memory_format=torch.channels_last)  # convolutions take a tenth less time so
    around = np.arange(len(coefficients))[:, None] + np.arange(-radius, radius + 1)
    windows = coefficients[around.clip(0, len(coefficients) - 1)].transpose(0, 2, 1).astype(np.float32)
    with torch.no_grad():
        studied = network.study(source)
    for part in torch.from_numpy(windows).split(GPU_BATCH if where.type == "cuda" else 1):
        with torch.no_grad():
            drawn = network.animate(studied, part.to(where))["fake_image"].cpu()
        for frame in ((drawn + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy():
            yield cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC)


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.array(array, np.float32))
