"""Stage `fit`: the face model fitted to every clip's landmarks; one identity a clip, expression and pose a frame."""

from __future__ import annotations

import shutil
import sys
from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from matplotlib.figure import Figure

from dreamtalk_models import face_topology as topology
from dreamtalk_models import fitting
from dreamtalk_models.face_model import FaceModel
from stages import columns, params, shards, tables, tracking
from stages.corpus.media import Clips
from stages.features.face_model import draw_mesh
from stages.files import fresh_dir, sha256

LANDMARKS = Path("data/landmarks")
CLIPS = Path("data/clips")
MODEL = Path("models/face_model/face_model.npz")
OUT = Path("data/motion")

FULL_FRAME = (1.0, 0.0, 0.0)
"""Crop parameters (scale, x, y in px) of landmarks that are measured in the cropped picture itself."""

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


@lru_cache(maxsize=1)
def _load(path: Path) -> FaceModel:
    return FaceModel.load(path)


def fit_shard(folder: Path, landmarks: Path, clip_ids: list[str], model_path: Path, settings: dict) -> None:
    """Fit some clips; write folder/shard.arrow and folder/motion.parquet."""
    torch.set_num_threads(1)
    model, fit = _load(model_path), params.Fit(**settings)
    source, rows, table = columns.Columns(landmarks), [], []
    for clip_id in clip_ids:
        points = source[clip_id]["landmarks"].reshape(-1, topology.VERTICES + topology.IRISES, 3)
        motion = fit_landmarks(model, points, fit)
        rows.append({columns.KEY: clip_id, **motion})
        table.append({columns.KEY: clip_id, **quality(model, points, motion, fit)})
    columns.write_shard(folder / "shard.arrow", rows)
    tables.write(pd.DataFrame(table), MOTION, folder / "motion.parquet")


def run(landmarks: Path, model_path: Path, out: Path, settings: params.Fit) -> pd.DataFrame:
    """Fit all clips, a shard of motion beside each shard of landmarks; return motion.parquet.

    Raises:
        FileNotFoundError: no landmarks or no face model.
    """
    if not model_path.exists():
        raise FileNotFoundError(f"{model_path} is missing: `dvc repro face_model` makes it")
    paths = sorted(landmarks.glob("*.arrow"))
    if not paths:
        raise FileNotFoundError(f"{landmarks} has no .arrow shard: `dvc repro crop` makes them")
    dump = settings.model_dump(mode="json")
    code = shards.code_version(Path(__file__).parent, Path(fitting.__file__).parent)
    jobs = [(landmarks, _clip_ids(path), model_path, dump) for path in paths]
    keys = [shards.shard_key(code, dump, sha256(model_path), sha256(path)) for path in paths]
    folders = shards.run_shards(fit_shard, jobs, keys, "fit")
    fresh_dir(out)
    for path, folder in zip(paths, folders, strict=True):
        shutil.copyfile(folder / "shard.arrow", out / path.name)
    table = pd.concat([tables.read(folder / "motion.parquet") for folder in folders])
    tables.write(table, MOTION, out / "motion.parquet")
    return tables.read(out / "motion.parquet")


def _clip_ids(path: Path) -> list[str]:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()[columns.KEY].to_pylist()


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Numbers over all clips, frames weighing alike."""
    frames = table["frames"].to_numpy(float)
    mean = {
        name: np.average(table[name], weights=frames) for name in ("fit_rmse_px", "jitter_px", "landmark_jitter_px")
    }
    failed = table["failed_frames"].sum()
    return {
        "clips": len(table),
        "frames": frames.sum(),
        "failed_frames": failed,
        "failed_share": failed / frames.sum(),
        **mean,
    }


def overlay(model: FaceModel, clips: Clips, motion: columns.Columns, table: pd.DataFrame) -> Figure:
    """The fitted mesh over the picture, in the worst frame of the best, the median and the worst clip."""
    ordered = table.sort_values(["fit_rmse_px", "clip_id"], ignore_index=True)
    chosen = dict(zip(("best", "median", "worst"), ordered.iloc[[0, len(ordered) // 2, -1]]["clip_id"], strict=True))
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.4))
    for axis, (name, clip_id) in zip(axes, chosen.items(), strict=True):
        fitted = motion[clip_id]
        frame = int(fitted["fit_rmse_px"].argmax())
        axis.imshow(clips.frames(clip_id, [frame])[0])
        draw_mesh(axis, mesh_px(model, fitted)[frame], model.triangles.numpy(), "lime")
        title = f"{name}: {fitted['fit_rmse_px'][frame]:.2f} px\n{clip_id} #{frame}"
        axis.set(xticks=[], yticks=[])
        axis.set_title(title, fontsize=8)
    figure.tight_layout()
    return figure


def main() -> int:
    try:
        settings = params.load()
        with tracking.stage_run("fit", settings, ["fit"], metrics=Path("metrics/fit.json")) as stage:
            table = run(LANDMARKS, MODEL, OUT, settings.fit)
            stage.summary(summary(table))
            stage.table("motion", table)
            figure = overlay(FaceModel.load(MODEL), Clips(CLIPS), columns.Columns(OUT), table)
            stage.figure("overlay", figure)
            plt.close(figure)
    except (params.ParamsError, FileNotFoundError, ValueError) as error:
        print(f"fit: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
