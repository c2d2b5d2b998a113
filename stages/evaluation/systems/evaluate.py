"""Stage `evaluate_methods`: other authors' videos of our test clips, data/methods/<name>/<clip_id>.mp4.

They get what our variants get: the same clips, rulers and landmarks of the truth. Motion metrics need coefficients,
which nobody's video has: the corpus' face model is fitted to the landmarks that the picture metrics found anyway.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dreamtalk_models.face_model import FaceModel
from stages import params, shards, tables, tracking
from stages.columns import KEY, Columns, write_shard
from stages.corpus.gaps import bridged
from stages.corpus.media import Clips
from stages.evaluation import scoring
from stages.evaluation.compare import Wanted, is_video, videos, wanted
from stages.evaluation.evaluate import CODE, GROUND_TRUTH, SHARD_CLIPS, landmarks_of, rulers_of
from stages.evaluation.metrics.summary import summarise
from stages.evaluation.motion_scores import MotionJudges, motion_scores
from stages.evaluation.scoring import Settings, Sound, Truth
from stages.features.landmark_fit import fit_landmarks
from stages.files import atomic_path, fresh_dir, sha256, write_json
from stages.program import one_line_errors

NAME = re.compile(r"\w[\w.-]*", re.ASCII)  # as MLflow takes it, and no way out of the folder
FOLDER, OUT = Path("data/methods"), Path("evaluation/methods")


def score_shard(
    folder: Path,
    rulers: Settings,
    fit: params.Fit,
    data: Path,
    truth: Path,
    model: Path,
    work: list[tuple[str, Wanted]],
) -> None:
    """Score some clips' videos into folder/scores.json, and their fitted motion into folder/motion.arrow."""
    media, judges, known = Clips(data / "clips"), scoring.judges(rulers), Columns(truth)
    rows, motion = [], []
    for clip_id, place in work:
        video, obstacle = place.read(rulers.size)
        values, notes = {"frames": float(len(video.frames))}, [obstacle] if obstacle else []
        if len(video.frames):
            real = Truth(scoring.squares(media.frames(clip_id), rulers.size), landmarks_of(known[clip_id]))
            sound = Sound(media.audio(clip_id), int(media.table.loc[clip_id, "audio_rate"]))
            values, more = scoring.score(video, real, sound, judges)
            notes += more
            if values["face_rate"] >= max(rulers.min_face_rate, 1 / len(video.frames)):
                found = fit_landmarks(_face_model(model), bridged(video.mesh), fit)
                motion.append({KEY: clip_id, "expression": found["expression"]})
            else:
                notes.append("motion not judged: too few frames with a face")
        values = {name: value for name, value in values.items() if np.isfinite(value)}
        rows.append({KEY: clip_id, **values, "reason": "; ".join(notes)})
    write_json(rows, folder / "scores.json")
    if motion:
        write_shard(folder / "motion.arrow", motion)


def evaluate(name: str, folder: Path, settings: params.Params, data: Path, models: Path, truth: Path) -> pd.DataFrame:
    """The scores of one method: clip_id, the metrics (NaN where one could not be computed) and `reason`.

    Every clip of the ground truth has a row, whether there is a video or not.

    Args:
        name: the method's, under which its unfinished work is kept.
        folder: its videos, named by clip id. truth: the evaluated ground truth's folder.

    Raises:
        FileNotFoundError, ValueError: an input is missing or does not fit; the file is named.
    """
    known, found = Columns(truth), videos(folder)
    work = list(wanted(sorted(known), found, folder).items())
    rulers, model = rulers_of(settings.evaluate, models), models / "face_model/face_model.npz"
    groups = shards.split_in_shards(work, SHARD_CLIPS)
    version, clips = _version(rulers, model, truth), Clips(data / "clips")
    keys = [
        shards.shard_key(version, rulers, settings.fit.model_dump(), [seen(*one, clips) for one in group])
        for group in groups
    ]
    jobs = [(rulers, settings.fit, data, truth, model, group) for group in groups]
    done = shards.run_shards(score_shard, jobs, keys, f"evaluate_methods/{name}", executor=settings.executor)
    scores = pd.DataFrame([row for part in done for row in json.loads((part / "scores.json").read_text("utf-8"))])
    made = {c: row for part in done if (part / "motion.arrow").is_file() for c, row in Columns(part).items()}
    if made:
        split, judges = tables.read(data / "split.parquet"), MotionJudges.load(models)
        moved = motion_scores(made, Columns(data / "motion"), split, judges, predicted=False)
        scores = scores.merge(moved, on=KEY, how="left")
    return scores[[*(c for c in scores if c != "reason"), "reason"]].sort_values(KEY, ignore_index=True)


def there(folder: Path) -> tuple[list[Path], list[Path]]:
    """The methods' folders, by name: those that hold videos, and those that hold something else only.

    Raises:
        ValueError: a name cannot be a method's.
    """
    full = sorted(path for path in folder.iterdir() if path.is_dir() and any(path.iterdir()))
    odd = [path.name for path in full if not NAME.fullmatch(path.name)]
    if odd:
        raise ValueError(f"{folder}/{odd[0]}: a method's name may have letters, digits, -, _ and . only; rename it")
    ready = [path for path in full if any(map(is_video, path.iterdir()))]
    return ready, [path for path in full if path not in ready]


@one_line_errors("evaluate_methods", ValueError)
def main() -> None:
    settings = params.load()
    methods, unfinished = there(FOLDER)
    for path in unfinished:
        print(f"evaluate_methods: {path} holds no video yet, and is left out: <clip_id>.mp4 is expected")
    out, metrics = fresh_dir(OUT), Path("metrics/evaluate_methods.json")
    with tracking.stage_run("evaluate_methods", settings, ["evaluate", "fit"], out=out, metrics=metrics) as run:
        summary: dict[str, float] = {"methods": float(len(methods))}
        for folder in methods:
            table = evaluate(folder.name, folder, settings, Path("data"), Path("models"), OUT.parent / GROUND_TRUTH)
            place = fresh_dir(out / folder.name)
            with atomic_path(place / "per_clip.parquet") as tmp:
                content = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
                pq.write_table(content, tmp)
            means = summarise(table, settings.evaluate.bootstrap, settings.seed)
            summary |= {f"{folder.name}/{key}": value for key, value in means.items()}
            run.table(f"per_clip_{folder.name}", table)
        run.summary(summary)
        names = {"methods": methods, "without_videos": unfinished}
        write_json({key: [path.name for path in paths] for key, paths in names.items()}, out / "methods.json")


def _version(rulers: Settings, model: Path, truth: Path) -> str:
    files = (*rulers.files, model, truth / "landmarks.arrow")
    return shards.shard_key(shards.code_version(*CODE), [path and sha256(path) for path in files])


def seen(clip_id: str, place: Wanted, clips: Clips) -> tuple[str | None, ...]:
    """What a clip's scores and remarks depend on: its truth, the video, and the name that a remark suggests."""
    video = sha256(place.path) if place.path.is_file() else None
    return clip_id, *clips.digests(clip_id), video, place.mistaken


@cache
def _face_model(path: Path) -> FaceModel:
    return FaceModel.load(path)


if __name__ == "__main__":
    main()
