"""How good a fit is: its error, what shakes, what smoothing took, what hangs on the choice of frames, what failed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from dreamtalk_models import face_topology as topology
from dreamtalk_models import fitting
from dreamtalk_models.face_model import FaceModel
from stages import params
from stages.features.landmark_fit import fit_landmarks, mesh_px

MOTION = pa.schema(
    [
        ("clip_id", pa.string()),
        ("frames", pa.int64()),
        ("fit_rmse_px", pa.float64()),  # mean over frames, px of the cropped clip
        ("fit_rmse_max_px", pa.float64()),  # of the worst frame
        ("jitter_px", pa.float64()),  # of the fitted mesh in the stillest quarter of the clip: see jitter()
        ("landmark_jitter_px", pa.float64()),  # the same of the landmarks
        ("mouth_velocity", pa.float64()),  # of the fit, as a share of the landmarks': see mouth_velocity()
        ("identity_gap", pa.float64()),  # between the identities of the clip's halves: see identity_gap()
        ("filled_frames", pa.int64()),  # whose landmarks were interpolated, for want of a face
        ("failed_frames", pa.int64()),  # whose error is more than fit.max_error of the distance between the eyes
    ]
)


def quality(
    model: FaceModel, landmarks: np.ndarray, motion: dict[str, np.ndarray], settings: params.Fit
) -> dict[str, float]:
    """A row of motion.parquet, but for the clip's name; see MOTION. Only observed vertices are looked at.

    Args:
        landmarks: (n, 468 or more, 3) px, and what :func:`fit_landmarks` made of them under `settings`.
    """
    face, mesh = model.observed_part, torch.from_numpy(np.array(landmarks, np.float32))
    seen, fitted = model.observe(mesh).numpy(), mesh_px(face, motion)
    error, scale = motion["fit_rmse_px"], np.exp(motion["translation"][:, 2])
    return {
        "frames": len(error),
        "fit_rmse_px": float(error.mean()),
        "fit_rmse_max_px": float(error.max()),
        "jitter_px": jitter(fitted, seen),
        "landmark_jitter_px": jitter(seen, seen),
        "mouth_velocity": mouth_velocity(face, fitted, seen),
        "identity_gap": identity_gap(model, landmarks, settings),
        "filled_frames": int((~fitting.measured(mesh[:, : topology.VERTICES])).sum()),
        "failed_frames": int((error > settings.max_error * scale).sum()),
    }


def jitter(points: np.ndarray, guide: np.ndarray) -> float:
    """Root mean square length, in the picture plane, of the second differences in time of points (n, V, 2 or more) in
    a still face: where `guide`, of the same shape, moves least from two frames before to two frames after, in a quarter
    of the clip. 0 for clips of fewer than five frames."""
    if len(points) < 5:
        return 0.0
    speed = np.linalg.norm((guide[4:] - guide[:-4])[..., :2], axis=-1).mean(1)
    still = np.argsort(speed, kind="stable")[: -(-len(speed) // 4)]
    second = np.diff(points[1:-1, :, :2], 2, axis=0)[still]
    return float(np.sqrt(np.square(second).sum(-1).mean()))


def mouth_velocity(face: FaceModel, fitted: np.ndarray, seen: np.ndarray) -> float:
    """Mean speed at which the fitted lips move against the face, as a share of the lips' in the landmarks, whose noise
    counts as movement; points are (n, K, 3) px. 1 where nothing moves."""
    lips, rest = face.sets["lips"].numpy(), face.sets["stable"].numpy()

    def speed(points: np.ndarray) -> float:
        apart = points[:, lips, :2] - points[:, rest, :2].mean(1, keepdims=True)
        return float(np.linalg.norm(np.diff(apart, axis=0), axis=-1).sum())

    whole = speed(seen)
    return speed(fitted) / whole if whole > 0 else 1.0


def identity_gap(model: FaceModel, landmarks: np.ndarray, settings: params.Fit) -> float:
    """How much a clip's identity hangs on the frames it is taken from: the root mean square difference between those of
    its first and its second half, in standard deviations over speakers. 0 for a single frame."""
    half = len(landmarks) // 2
    if not half:
        return 0.0
    first, second = (fit_landmarks(model, part, settings)["identity"] for part in (landmarks[:half], landmarks[half:]))
    used = model.identity_basis.abs().sum(0).numpy() > 0
    return float(np.sqrt(np.square(first - second)[used].mean())) if used.any() else 0.0


def identity_ratio(identities: np.ndarray, speakers: np.ndarray) -> float:
    """Mean distance between the identities (clips, I) of clips of one speaker, over that between those of two speakers;
    nan where there are no such pairs."""
    distance = np.linalg.norm(identities[:, None] - identities, axis=-1)
    same, once = speakers[:, None] == speakers, np.triu(np.ones(distance.shape, bool), 1)
    pairs = [distance[chosen & once] for chosen in (same, ~same)]
    return float(pairs[0].mean() / pairs[1].mean()) if all(len(pair) for pair in pairs) else float("nan")


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Numbers over all clips, frames weighing alike."""
    frames = table["frames"].to_numpy(float)
    names = ("fit_rmse_px", "jitter_px", "landmark_jitter_px", "mouth_velocity", "identity_gap")
    mean = {name: np.average(table[name], weights=frames) for name in names}
    failed = table["failed_frames"].sum()
    return {
        "clips": len(table),
        "frames": frames.sum(),
        "filled_frames": table["filled_frames"].sum(),
        "failed_frames": failed,
        "failed_share": failed / frames.sum(),
        **mean,
    }
