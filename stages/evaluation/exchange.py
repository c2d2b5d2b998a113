"""Corpora of coefficients: from .mat files and sound into data/, in place of video, and from data/motion out to .mat.

The way in makes what `ingest`, `crop`, `split`, `face_model` and `fit` would have made, but for pictures and landmarks:
data/clips (table and sound), data/split.parquet, models/face_model and data/motion. Every stage that needs no picture
runs from there.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from dreamtalk_models.face_model import FaceModel
from stages import columns, tables
from stages.corpus import decode, split
from stages.corpus.sources.folder import named_labels
from stages.corpus.sources.local import item_ids, text
from stages.corpus.together import MeadError
from stages.evaluation import coefficients
from stages.evaluation.coefficients import Coefficients
from stages.evaluation.inputs import InputError
from stages.evaluation.motion import Pose
from stages.features.fit_quality import MOTION
from stages.features.landmark_fit import FULL_FRAME
from stages.files import atomic_path, fresh_dir, sha256
from stages.params import Params

SOUNDS = (".wav", ".m4a", ".mp3", ".flac", ".mp4", ".mov", ".mkv", ".webm")
PICTURELESS = "audio train_lip_expert train_denoiser train_style_predictor train_style_classifier"
"""Stages that a corpus without pictures can run."""
PLACES = ("data/clips", "data/motion", "data/split.parquet", "models/face_model")


@dataclass(frozen=True)
class Imported:
    """What an import made: clips, frames, and why files were left out, a line each."""

    clips: int
    frames: int
    refused: list[str]


def import_folder(folder: Path, root: Path, model: FaceModel, settings: Params, fps: float) -> Imported:
    """Fill root/data and root/models/face_model from .mat files, each with the sound of the same name beside it.

    Args:
        folder: .mat files at any depth. Speaker, emotion and level come from names like MEAD's
            (M030_front_angry_level3_001); else the speaker is the first sub-folder's name, or the file's.
        root: the repository; its `PLACES` are replaced, once all that takes their place is made.
        model: the face model that the coefficients belong to.
        fps: of coefficients that do not say; they are brought to crop.fps by interpolation.

    Raises:
        InputError: no clip can be made of what is there, or not the split that `settings` ask for; says what is
            missing.
    """
    files = sorted(folder.rglob("*.mat")) if folder.is_dir() else []
    if not files:
        raise InputError(f"{folder} has no .mat file: give a folder of coefficients with sound of the same names")
    clips, refused = [], []
    origins = [path.relative_to(folder) for path in files]
    for path, origin, name in zip(files, origins, item_ids(origins), strict=True):
        try:
            motion, size = _motion(path, model, fps, settings.crop.fps)
            sound = _sound(path, settings.crop.audio_rate)
            rate = settings.crop.audio_rate / settings.crop.fps
            count = min(len(motion["expression"]), int(len(sound) / rate))
            if count < settings.crop.min_seconds * settings.crop.fps:
                raise InputError(f"{path}: only {count / settings.crop.fps:.2f} s of coefficients and sound")
            source = {"source_file": text(origin), "sha256": sha256(path)}
            row = {"clip_id": name, **named_labels(origin), **source, **_lengths(count, size, settings)}
            kept = {key: value if key == "identity" else value[:count] for key, value in motion.items()}
            clips.append((row, kept, sound[: round(count * rate)]))
        except InputError as error:
            refused.append(text(str(error)))
    if not clips:
        raise InputError("; ".join(refused))
    made = fresh_dir(root / ".work/import-coefficients")
    try:
        _write(made, clips, _split([row for row, _, _ in clips], settings), settings)
        model.save(fresh_dir(made / "models/face_model") / "face_model.npz")
        for place in PLACES:
            _replace(root / place, made / place)
    finally:
        shutil.rmtree(made)
    return Imported(len(clips), sum(row["frames"] for row, _, _ in clips), refused)


def export_folder(root: Path, model: FaceModel, settings: Params, out: Path) -> int:
    """Every clip of root/data/motion, fitted with `model`, as out/<clip_id>.mat; how many.

    Raises:
        FileNotFoundError: there is no motion.
        InputError: `out` holds .mat files already, which may be what the corpus was imported from.
    """
    size, fps = (settings.crop.size, settings.crop.size), settings.crop.fps
    clips = columns.Columns(root / "data/motion")
    out.mkdir(parents=True, exist_ok=True)
    if taken := next(out.glob("*.mat"), None):
        raise InputError(f"{out} holds {taken.name} already: give an empty folder, so that nothing is replaced")
    for clip_id, clip in clips.items():
        pose = Pose(clip["angles"], clip["translation"])
        found = Coefficients(clip["identity"], clip["expression"], pose, clip["fit_rmse_px"], size, model.digest, fps)
        coefficients.write(found, out / f"{clip_id}.mat")
    return len(clips)


def _motion(path: Path, face: FaceModel, was: float, fps: float) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
    """A row of data/motion with `fps` frames a second of a file that has its own rate, or else `was`."""
    found = coefficients.read(path)
    found = coefficients.at_rate(found, found.fps or was, fps)
    if found.face_model not in (None, face.digest):
        raise InputError(f"{path} belongs to another face model: give that one with --model")
    dims = {"expression": found.expression.shape[1], "identity": len(found.identity)}
    if dims["expression"] > face.expression_dim or dims["identity"] > face.identity_dim:
        raise InputError(
            f"{path} has {dims} coefficients, the face model {face.expression_dim} and {face.identity_dim}"
        )
    motion = {
        "identity": np.pad(found.identity, (0, face.identity_dim - dims["identity"])),
        "expression": np.pad(found.expression, ((0, 0), (0, face.expression_dim - dims["expression"]))),
        "angles": found.pose.angles,
        "translation": found.pose.translation,
        "crop": np.tile(np.float32(FULL_FRAME), (len(found.expression), 1)),
        "fit_rmse_px": found.rmse,
    }
    return motion, found.size


def _sound(path: Path, rate: int) -> np.ndarray:
    found = [path.with_suffix(suffix) for suffix in SOUNDS if path.with_suffix(suffix).is_file()]
    if not found:
        raise InputError(f"{path} has no sound beside it: {path.stem}.wav is missing")
    try:
        return decode.read_audio(found[0], rate)
    except decode.MediaError as error:
        raise InputError(f"{found[0]} {error}") from error


def _lengths(count: int, size: tuple[int, int], settings: Params) -> dict:
    fps, rate = settings.crop.fps, settings.crop.audio_rate
    return {
        "corpus": "coefficients",
        "start_s": 0.0,
        "end_s": count / fps,
        "frames": count,
        "fps": float(fps),
        "width": size[0],
        "height": size[1],
        "audio_rate": rate,
        "audio_s": round(count * rate / fps) / rate,
        "status": "ok",
    }


def _split(rows: list[dict], settings: Params) -> pd.DataFrame:
    try:
        return split.split(tables.from_rows(rows, tables.CLIPS), settings.split, settings.seed)[0]
    except (split.SplitError, MeadError) as error:
        raise InputError(str(error)) from error


def _write(root: Path, clips: list[tuple[dict, dict, np.ndarray]], parts: pd.DataFrame, settings: Params) -> None:
    folder, motion = fresh_dir(root / "data/clips"), fresh_dir(root / "data/motion")
    rows = []
    for start in range(0, len(clips), settings.crop.shard_clips):
        name, shard = (
            f"shard-{start // settings.crop.shard_clips:05d}",
            clips[start : start + settings.crop.shard_clips],
        )
        _write_sound(folder / f"{name}.tar", [(row["clip_id"], sound) for row, _, sound in shard], settings)
        columns.write_shard(
            motion / f"{name}.arrow", [{columns.KEY: row["clip_id"], **moved} for row, moved, _ in shard]
        )
        rows += [row | {"shard": f"{name}.tar"} for row, _, _ in shard]
    tables.write(tables.from_rows(rows, tables.CLIPS), tables.CLIPS, folder / "clips.parquet")
    tables.write(tables.from_rows([], tables.QUARANTINE), tables.QUARANTINE, folder / "quarantine.parquet")
    known = [{key: row[key] for key in (columns.KEY, "frames")} for row in rows]
    tables.write(tables.from_rows(known, MOTION), MOTION, motion / "motion.parquet")
    tables.write(parts, tables.SPLIT, root / "data/split.parquet")


def _replace(old: Path, new: Path) -> None:
    if old.is_dir():
        shutil.rmtree(old)
    old.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(new, old)


def _write_sound(path: Path, sounds: list[tuple[str, np.ndarray]], settings: Params) -> None:
    with atomic_path(path) as tmp, tarfile.open(tmp, "w", format=tarfile.USTAR_FORMAT) as tar:
        for clip_id, sound in sounds:
            file = io.BytesIO()
            soundfile.write(file, np.clip(sound, -1, 1), settings.crop.audio_rate, subtype="PCM_16", format="WAV")
            info = tarfile.TarInfo(f"{clip_id}.wav")
            info.size = file.tell()
            file.seek(0)
            tar.addfile(info, file)
