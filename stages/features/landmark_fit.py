"""The face model fitted to a clip's landmarks, as arrays: for the stage `fit` and for users' files."""

from __future__ import annotations

import numpy as np
import torch

from dreamtalk_models import face_topology as topology
from dreamtalk_models import fitting
from dreamtalk_models.face_model import FaceModel
from stages import params

FULL_FRAME = (1.0, 0.0, 0.0)
"""Crop parameters (scale, x, y in px) of landmarks that are measured in the cropped picture itself."""


def fit_landmarks(model: FaceModel, landmarks: np.ndarray, settings: params.Fit) -> dict[str, np.ndarray]:
    """Fit one clip, or one picture (n = 1).

    Args:
        model: the face model.
        landmarks: (n, 478, 3), or (n, 468, 3) without irises: px, z in the same scale.
        settings: section `fit` of the parameters.

    Returns:
        expression (n, D), identity (I,), angles (n, 3) radians, translation (n, 3) (px, px, logarithm of the scale in
        px per model unit), crop (n, 3) and fit_rmse_px (n,), all float32.

    Raises:
        ValueError: no frames, another number of landmarks, or values that are not finite.
    """
    if landmarks.ndim != 3 or not len(landmarks) or landmarks.shape[1] < topology.VERTICES or landmarks.shape[2] != 3:
        raise ValueError(f"landmarks have shape {landmarks.shape}, expected (n, 478, 3) with n of at least 1")
    if not np.isfinite(landmarks).all():
        raise ValueError("landmarks have values that are not finite; fill frames without a face first")
    mesh = torch.from_numpy(np.array(landmarks[:, : topology.VERTICES], np.float32))
    fit = fitting.fit(model, mesh, **strengths(settings))
    return {
        "expression": fit.expression.numpy(),
        "identity": fit.identity.numpy(),
        "angles": fit.angles.numpy(),
        "translation": fit.translation.numpy(),
        "crop": np.tile(np.float32(FULL_FRAME), (len(mesh), 1)),
        "fit_rmse_px": fit.rmse.numpy(),
    }


def strengths(settings: params.Fit) -> dict[str, float]:
    """What of section `fit` goes into :func:`dreamtalk_models.fitting.fit`."""
    return settings.model_dump(exclude={"max_error"})


def mesh_px(model: FaceModel, motion: dict[str, np.ndarray]) -> np.ndarray:
    """The fitted mesh in the picture, (n, V, 3) px, of what :func:`fit_landmarks` returns."""
    names = ("identity", "expression", "angles", "translation")
    return model.project(*(torch.from_numpy(np.array(motion[name])) for name in names)).numpy()
