"""Stage `fit`: the face model fitted to every clip's landmarks; one identity a clip, expression and pose a frame."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from dreamtalk_models import face_topology as topology
from dreamtalk_models.face_model import FaceModel
from stages import columns, params, shards, tables, tracking
from stages.corpus.media import Clips
from stages.features import overlay
from stages.features.fit_quality import MOTION, identity_ratio, quality, summary
from stages.features.landmark_fit import fit_landmarks
from stages.files import fresh_dir, sha256
from stages.program import one_line_errors

LANDMARKS = Path("data/landmarks")
CLIPS = Path("data/clips")
MODEL = Path("models/face_model/face_model.npz")
OUT = Path("data/motion")
CODE = ("stages/features", "dreamtalk_models")  # what decides a shard's bytes
MOST_PAIRED = 2000  # clips


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


def run(
    landmarks: Path, model_path: Path, out: Path, settings: params.Fit, executor: str = shards.PROCESSES
) -> pd.DataFrame:
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
    code = shards.code_version(*CODE)
    jobs = [(landmarks, _clip_ids(path), model_path, dump) for path in paths]
    keys = [shards.shard_key(code, dump, sha256(model_path), sha256(path)) for path in paths]
    folders = shards.run_shards(fit_shard, jobs, keys, "fit", executor=executor)
    fresh_dir(out)
    for path, folder in zip(paths, folders, strict=True):
        shutil.copyfile(folder / "shard.arrow", out / path.name)
    table = pd.concat([tables.read(folder / "motion.parquet") for folder in folders])
    tables.write(table, MOTION, out / "motion.parquet")
    return tables.read(out / "motion.parquet")


def _clip_ids(path: Path) -> list[str]:
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()[columns.KEY].to_pylist()


def _identity(motion: columns.Columns, speaker: pd.Series) -> dict[str, float]:
    """How near the identities of one speaker's clips are to each other, against two speakers', over MOST_PAIRED clips
    at most; nothing where nobody, or one person alone, has two clips."""
    ids = sorted(motion)[:: -(-len(motion) // MOST_PAIRED)]
    ratio = identity_ratio(np.stack([motion[clip_id]["identity"] for clip_id in ids]), speaker.loc[ids].to_numpy())
    return {"identity_ratio": ratio} if np.isfinite(ratio) else {}


@one_line_errors("fit", ValueError)
def main() -> None:
    settings = params.load()
    with tracking.stage_run("fit", settings, ["fit"], metrics=Path("metrics/fit.json")) as stage:
        table = run(LANDMARKS, MODEL, OUT, settings.fit, settings.executor)
        model, clips, motion = FaceModel.load(MODEL), Clips(CLIPS), columns.Columns(OUT)
        stage.summary(summary(table) | _identity(motion, clips.table["speaker"]))
        stage.table("motion", table)
        figure = overlay.figure(model, clips, motion, table)
        stage.figure("overlay", figure)
        plt.close(figure)
        for path in overlay.videos(model, clips, motion, table, OUT):
            stage.artifact(path, "overlays")


if __name__ == "__main__":
    main()
