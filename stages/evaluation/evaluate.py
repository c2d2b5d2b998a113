"""Stage `evaluate`: every metric of one variant's talking heads, recomputed from the generated files.

The variant `ground_truth` scores the real clips themselves: the ceilings of all metrics, and the landmarks that the
other variants are compared with, found by the same detector in pictures of the same size.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from stages import params, shards, tables, tracking
from stages.columns import KEY, Columns, write_shard
from stages.corpus.media import Clips
from stages.evaluation import scoring
from stages.evaluation.metrics.summary import summarise
from stages.evaluation.motion_scores import MotionJudges, motion_scores
from stages.evaluation.scoring import Scores, Settings, Sound, Truth, Video
from stages.evaluation.variants import VARIANTS, chosen
from stages.files import atomic_path, fresh_dir, sha256, write_json
from stages.program import one_line_errors

GROUND_TRUTH = "ground_truth"
DATA, MODELS, GENERATED, OUT = Path("data"), Path("models"), Path("generated"), Path("evaluation")
SHARD_CLIPS = 4
POINTS = "landmarks68"
CODE = (  # what decides a shard's bytes
    "dreamtalk_models",
    "stages/corpus/decode.py",
    "stages/corpus/faces.py",
    "stages/corpus/gaps.py",
    "stages/corpus/media.py",
    "stages/evaluation",
    "stages/features",
)


def score_shard(folder: Path, settings: Settings, data: Path, truth: Path | None, videos: Path, ids: list[str]) -> None:
    """Score some clips into folder/scores.json; with `truth` None score the real clips, and keep their landmarks."""
    media = Clips(data / "clips")
    judges = scoring.judges(settings)
    known = Columns(truth) if truth else None
    rows, landmarks = [], []
    for clip_id in ids:
        real = Video(scoring.squares(media.frames(clip_id), settings.size))
        sound = Sound(media.audio(clip_id), int(media.table.loc[clip_id, "audio_rate"]))
        if known is None:
            scores = scoring.score(real, Truth(real.frames, real.points), sound, judges)
            landmarks.append({KEY: clip_id, **_packed(real.points)})
        else:
            scores = _score_file(
                videos / f"{clip_id}.mp4", Truth(real.frames, landmarks_of(known[clip_id])), sound, judges
            )
        values = {name: value for name, value in scores.values.items() if np.isfinite(value)}
        rows.append({KEY: clip_id, **values, "reason": "; ".join(scores.notes)})
    write_json(rows, folder / "scores.json")
    if landmarks:
        write_shard(folder / "landmarks.arrow", landmarks)


def video_scores(
    ids: list[str],
    settings: Settings,
    data: Path,
    truth: Path | None,
    videos: Path,
    stage: str,
    executor: str = shards.PROCESSES,
) -> tuple[pd.DataFrame, list[Path]]:
    """Score clips in worker processes: a row per clip, and the folders of the shards."""
    groups = shards.split_in_shards(ids, SHARD_CLIPS)
    code = shards.code_version(*CODE)
    judges = [path and sha256(path) for path in settings.files]
    real = Clips(data / "clips")
    keys = [
        shards.shard_key(
            code, settings, judges, [(i, real.digests(i), _digest(videos / f"{i}.mp4", truth)) for i in group]
        )
        for group in groups
    ]
    jobs = [(settings, data, truth, videos, group) for group in groups]
    folders = shards.run_shards(score_shard, jobs, keys, stage, executor=executor)
    rows = [row for folder in folders for row in json.loads((folder / "scores.json").read_text(encoding="utf-8"))]
    return pd.DataFrame(rows), folders


def evaluate(
    variant: str, settings: params.Params, data: Path, models: Path, generated: Path, out: Path
) -> pd.DataFrame:
    """Write out/<variant>/per_clip.parquet, and for the ground truth out/ground_truth/landmarks.arrow too.

    Returns:
        the table: clip_id, the metrics (NaN where one could not be computed) and `reason`, what stood in the way.

    Raises:
        FileNotFoundError, ValueError: an input is missing or does not fit; the file is named.
    """
    split = tables.read(data / "split.parquet")
    motion = Columns(data / "motion")
    folder = fresh_dir(out / variant)
    rulers = rulers_of(settings.evaluate, models)
    if variant == GROUND_TRUTH:
        made = {clip_id: motion[clip_id] for clip_id in chosen(split, settings.generate.max_clips)[KEY]}
        truth = None
    else:
        made, truth = Columns(generated / variant), out / GROUND_TRUTH
    scores, done = video_scores(
        sorted(made), rulers, data, truth, generated / variant / "videos", f"evaluate/{variant}", settings.executor
    )
    if truth is None:
        _join([part / "landmarks.arrow" for part in done], folder / "landmarks.arrow")
    judges = MotionJudges.load(models)
    predicted = variant in VARIANTS and VARIANTS[variant].predictor is not None
    scores = scores.merge(motion_scores(made, motion, split, judges, predicted), on=KEY)
    scores["sa_chance"] = 1 / len(judges.classes)
    table = scores[[*(name for name in scores if name != "reason"), "reason"]].sort_values(KEY, ignore_index=True)
    with atomic_path(folder / "per_clip.parquet") as tmp:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None), tmp)
    return table


def rulers_of(section: params.Evaluate, models: Path) -> Settings:
    """The settings of scoring: the judges trained on the corpus, and the published ones that the user has."""
    identity = models / "identity_judge" / "weights.safetensors"
    return Settings(
        size=section.size,
        vshift=section.vshift,
        min_face_rate=section.min_face_rate,
        corpus_syncnet=models / "syncnet" / "weights.safetensors",
        corpus_identity=identity if identity.is_file() else None,  # it takes three speakers to learn from
        syncnet=section.syncnet_weights and Path(section.syncnet_weights),
        arcface=section.arcface_onnx and Path(section.arcface_onnx),
        vgg16=section.vgg16_weights and Path(section.vgg16_weights),
    )


def landmarks_of(row: dict[str, np.ndarray]) -> np.ndarray:
    """The 68 landmarks (n, 68, 2) px of a row of ground_truth/landmarks.arrow, NaN where no face was found."""
    points = row[POINTS].reshape(len(row[POINTS]), -1, 2)
    return np.where(row["found"][:, None, None] > 0, points, np.nan)


def absent(table: pd.DataFrame) -> dict[str, str]:
    """Why columns that a reader may look for are not in the table."""
    reasons = {
        "sync_conf": "the published SyncNet weights were not given (evaluate.syncnet_weights); "
        "sync_conf_corpus is the judge trained on this corpus",
        "csim": "no ArcFace network was given (evaluate.arcface_onnx)",
        "id_sim_corpus": "too few speakers to learn from",
        "lpips": "the weights of VGG16 were not given (evaluate.vgg16_weights)",
        "scd": "the style code was not predicted but taken from a reference",
    }
    return {name: reason for name, reason in reasons.items() if name not in table}


@one_line_errors("evaluate", ValueError)
def main(variant: str) -> None:
    settings = params.load()
    metrics = Path("metrics") / "evaluate" / f"{variant}.json"
    out = OUT / variant
    with tracking.stage_run("evaluate", settings, ["evaluate"], variant=variant, out=out, metrics=metrics) as run:
        table = evaluate(variant, settings, DATA, MODELS, GENERATED, OUT)
        means = summarise(table.drop(columns="sa_chance"), settings.evaluate.bootstrap, settings.seed)
        summary = {"clips": len(table), "sa_chance": table.loc[0, "sa_chance"], **means}
        run.summary(summary)
        run.table("per_clip", table)
        write_json(summary, out / "metrics.json")
        write_json(absent(table), out / "absent.json")


def _score_file(path: Path, truth: Truth, sound: Sound, judges: scoring.Judges) -> Scores:
    video, obstacle = scoring.read_video(path, judges.settings.size)
    if not len(video.frames):
        return Scores({"frames": 0.0}, [obstacle or "the video has no frame"])
    scores = scoring.score(video, truth, sound, judges)
    return Scores(scores.values, [*([obstacle] if obstacle else []), *scores.notes])


def _packed(points: np.ndarray) -> dict[str, np.ndarray]:
    """Landmarks (n, 68, 2) as columns without NaN."""
    return {POINTS: np.nan_to_num(points).reshape(len(points), -1), "found": np.isfinite(points).all((1, 2))}


def _join(parts: list[Path], path: Path) -> None:
    rows = [{KEY: clip_id, **row} for part in parts for clip_id, row in Columns(part.parent).items()]
    write_shard(path, rows)


def _digest(video: Path, truth: Path | None) -> str | None:
    """What a clip's scores depend on beside the clip itself."""
    return sha256(video) if truth and video.is_file() else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m stages.evaluation.evaluate")
    parser.add_argument("variant", choices=[GROUND_TRUTH, *VARIANTS])
    main(parser.parse_args().variant)
