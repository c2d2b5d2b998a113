"""The face model fitted to a user's own video: what `dreamtalk fit` writes, and styles and poses come from."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from dreamtalk_models.face_model import FaceModel
from stages.corpus import decode
from stages.corpus.encode import write_mp4
from stages.corpus.faces import FaceMesh
from stages.evaluation.coefficients import Coefficients
from stages.evaluation.inputs import InputError, check_input
from stages.evaluation.motion import Pose
from stages.evaluation.portrait import MESH_POINTS
from stages.features.fit import fit_landmarks
from stages.files import atomic_path
from stages.params import Params

LINE_BITS = 4  # fractional bits of drawn coordinates


def fit_video(path: Path, model: FaceModel, settings: Params, digest: str) -> Coefficients:
    """Coefficients of all frames of a video, at the corpus' frame rate.

    Raises:
        InputError: not a video that can be read, or too few of its frames show a face.
    """
    landmarks, size = video_landmarks(path, settings)
    found = fit_landmarks(model, landmarks, settings.fit)
    pose = Pose(found["angles"], found["translation"])
    return Coefficients(found["identity"], found["expression"], pose, found["fit_rmse_px"], size, digest)


def video_landmarks(path: Path, settings: Params) -> tuple[np.ndarray, tuple[int, int]]:
    """Landmarks (n, 468, 3) px of a video with one face, frames without a face interpolated; its (width, height).

    Raises:
        InputError: see :func:`fit_video`.
    """
    check_input(path)
    found: list[np.ndarray | None] = []
    try:
        with FaceMesh() as mesh:
            for frame in decode.frames(path, settings.crop.fps):
                points = mesh.landmarks(frame)
                found.append(None if points is None else points[:MESH_POINTS])
        height, width = frame.shape[:2]
    except decode.MediaError as error:
        raise InputError(f"{path} {error}") from error
    seen = [i for i, points in enumerate(found) if points is not None]
    if len(seen) < settings.crop.min_detection_rate * len(found) or not seen:
        raise InputError(f"{path}: a face is seen in {len(seen)} of {len(found)} frames only; give a video of one face")
    track = np.stack([found[i] for i in seen]).reshape(len(seen), -1)
    filled = np.stack([np.interp(range(len(found)), seen, column) for column in track.T], axis=1)
    return filled.reshape(len(found), MESH_POINTS, 3).astype(np.float32), (width, height)


def write_overlay(video: Path, found: Coefficients, model: FaceModel, settings: Params, out: Path) -> None:
    """The video with the fitted mesh drawn on it, as out (*.mp4), without sound."""
    parts = (found.identity, found.expression, found.pose.angles, found.pose.translation)
    mesh = model.project(*(torch.from_numpy(np.array(part, np.float32)) for part in parts))[..., :2]
    lines = (mesh[:, model.triangles].numpy() * 2**LINE_BITS).round().astype(np.int32)
    frames = decode.frames(video, settings.crop.fps)
    with atomic_path(out) as tmp:
        write_mp4(tmp, map(_with_mesh, frames, lines), settings.crop.fps)


def _with_mesh(frame: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    height, width = (side // 2 * 2 for side in frame.shape[:2])
    drawn = frame[:height, :width].copy()
    return cv2.polylines(drawn, list(triangles), True, (0, 255, 0), 1, cv2.LINE_AA, LINE_BITS)
