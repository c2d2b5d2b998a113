"""The face model fitted to a user's own video: what `dreamtalk fit` writes, and styles and poses come from."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from dreamtalk_models.face_model import FaceModel
from stages.corpus import decode
from stages.corpus.clip import RIVAL
from stages.corpus.encode import write_mp4
from stages.corpus.faces import FaceDetector, FaceMesh, edge
from stages.corpus.gaps import bridged
from stages.evaluation.coefficients import Coefficients
from stages.evaluation.inputs import InputError, check_input
from stages.evaluation.motion import Pose
from stages.evaluation.portrait import MESH_POINTS
from stages.features.landmark_fit import fit_landmarks
from stages.features.overlay import with_mesh
from stages.files import atomic_path
from stages.params import Params

DEFAULT_FPS = 25.0  # of a video that does not say how many it has
LOOK_EVERY = 25  # frames; how often the picture is searched for a second face


def fit_video(path: Path, model: FaceModel, settings: Params, fps: float) -> Coefficients:
    """Coefficients of all frames of a video.

    Args:
        fps: frames a second that are looked at, whatever the video has; see :func:`stages.corpus.decode.frames`.

    Raises:
        InputError: not a video that can be read, or too few of its frames show a face.
    """
    landmarks, size = video_landmarks(path, fps, settings.crop.min_detection_rate)
    found = fit_landmarks(model, landmarks, settings.fit)
    pose = Pose(found["angles"], found["translation"])
    return Coefficients(found["identity"], found["expression"], pose, found["fit_rmse_px"], size, model.digest, fps)


def frame_rate(path: Path) -> float:
    """Frames a second that a video says it has.

    Raises:
        InputError: not a video that can be read.
    """
    check_input(path)
    try:
        return decode.probe(path).fps or DEFAULT_FPS
    except decode.MediaError as error:
        raise InputError(f"{path} {error}") from error


def video_landmarks(path: Path, fps: float, min_detection_rate: float) -> tuple[np.ndarray, tuple[int, int]]:
    """Landmarks (n, 468, 3) px of a video with one face, frames without a face interpolated; its (width, height).

    Raises:
        InputError: see :func:`fit_video`.
    """
    check_input(path)
    found: list[np.ndarray | None] = []
    looks: list[bool] = []
    try:
        with FaceMesh() as mesh, FaceDetector() as detector:
            for frame in decode.frames(path, fps):
                if len(found) % LOOK_EVERY == 0:
                    looks.append(_has_rival(detector.boxes(frame)))
                points = mesh.landmarks(frame)
                found.append(None if points is None else points[:MESH_POINTS])
        height, width = frame.shape[:2]
    except decode.MediaError as error:
        raise InputError(f"{path} {error}") from error
    seen = [points for points in found if points is not None]
    if len(seen) < min_detection_rate * len(found) or not seen:
        raise InputError(f"{path}: a face is seen in {len(seen)} of {len(found)} frames only; give a video of one face")
    if 2 * sum(looks) > len(looks):
        raise InputError(f"{path}: two faces, the second nearly as large as the first; cut the picture to one of them")
    return bridged(found), (width, height)


def _has_rival(boxes: np.ndarray) -> bool:
    """Whether a second face is so large that it is left open who is meant; boxes (faces, 4), the largest first."""
    return len(boxes) > 1 and float(edge(boxes[1:2])[0]) >= RIVAL * float(edge(boxes[:1])[0])


def write_overlay(video: Path, found: Coefficients, model: FaceModel, fps: float, out: Path) -> None:
    """The video with the fitted mesh drawn on it, as out (*.mp4), without sound; `fps` as it was fitted with."""
    parts = (found.identity, found.expression, found.pose.angles, found.pose.translation)
    parts = [torch.from_numpy(np.array(part, np.float32)) for part in parts]
    meshes = (model.project(parts[0], *(part[i] for part in parts[1:])).numpy() for i in range(len(found.expression)))
    triangles = model.triangles.numpy()
    pictures = zip(decode.frames(video, fps), meshes, strict=False)
    with atomic_path(out) as tmp:
        write_mp4(
            tmp, (with_mesh(frame, mesh, triangles) for frame, mesh in pictures), Fraction(fps).limit_denominator(1001)
        )
