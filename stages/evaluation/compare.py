"""Scores of any methods' videos against real ones, from folders of files alone: `dreamtalk evaluate`."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from stages import shards
from stages.corpus import decode
from stages.evaluation import scoring
from stages.evaluation.metrics.summary import summarise
from stages.evaluation.scoring import Settings, Sound, Truth
from stages.files import atomic_path, write_json
from stages.progress import track

AUDIO_RATE = 16000  # Hz, of SyncNet


def compare(
    truth: Path,
    methods: Mapping[str, Path],
    out: Path,
    settings: Settings | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Score every method's videos against the real videos of the same names; write out/metrics.csv and summary.json.

    Videos may have any size and frame rate: all are brought to squares of `settings.size` px and to 25 frames/s, and
    frame i is compared with frame i. The sound that lips are judged by is the video's own or, where it has none, the
    truth's. Pass the folder of truth as a method to get the ceilings.

    Args:
        truth: folder of real videos, <clip_id>.mp4.
        methods: folders of generated ones, <clip_id>.mp4, by name.
        settings: the rulers; None: as published, without judges of lips and identity. Motion metrics (SA, SCD, MD,
            LVE) need motion and are no part of this.
        resamples, seed: of the bootstrap intervals.

    Returns:
        what metrics.csv holds: method, clip_id, the metrics (empty where one could not be computed), and `reason`. A
        missing, damaged, shorter or longer video is scored as far as it goes, and says so there.

    Raises:
        ValueError: a folder is missing or holds no video; the folder is named.
    """
    settings = settings or Settings()
    real = _videos(truth)
    folders = {name: _videos(folder) for name, folder in methods.items()}
    jobs = [(path, {name: folders[name] / path.name for name in folders}) for path in _mp4s(real)]
    rows = [row for rows in track(_execute(jobs, settings), "evaluate", total=len(jobs)) for row in rows]
    table = pd.DataFrame(rows).sort_values(["method", "clip_id"], ignore_index=True)
    table = table[[*(name for name in table if name != "reason"), "reason"]]
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(out / "metrics.csv") as tmp:
        table.to_csv(tmp, index=False, float_format="%.6g")
    write_json(_summary(table, real, folders, settings, resamples, seed), out / "summary.json")
    return table


def score_clip(job: tuple[Path, Mapping[str, Path]], settings: Settings) -> list[dict]:
    """Rows of one clip: (its real video, each method's video by name)."""
    path, videos = job
    judges = scoring.judges(settings)
    real, obstacle = scoring.read_video(path, settings.size)
    rows = []
    for name, video_path in videos.items():
        video, own_obstacle = scoring.read_video(video_path, settings.size)
        notes = [*([f"truth: {obstacle}"] if obstacle else []), *([own_obstacle] if own_obstacle else [])]
        values = {}
        if len(real.frames) and len(video.frames):
            sound = (_sound(video_path) or _sound(path)) if judges.syncnets else None
            values, more = scoring.score(video, Truth(real.frames, real.points), sound, judges)
            notes += more
        rows.append({"method": name, "clip_id": path.stem, **values, "reason": "; ".join(notes)})
    return rows


def _execute(jobs: list[tuple], settings: Settings) -> Iterator[list[dict]]:
    function = partial(score_clip, settings=settings)
    if shards.workers() == 1 or len(jobs) == 1:
        yield from map(function, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(shards.workers(), len(jobs)), mp_context=context) as pool:
        yield from pool.map(function, jobs)


def _summary(
    table: pd.DataFrame, real: Path, folders: Mapping[str, Path], settings: Settings, resamples: int, seed: int
) -> dict:
    known = {path.name for path in _mp4s(real)}
    methods = {}
    for name, folder in folders.items():
        rows = table[table["method"] == name]
        methods[name] = {
            "metrics": summarise(rows, resamples, seed),
            "clips": len(rows),
            "with_remarks": int((rows["reason"] != "").sum()),
            "files_without_truth": sorted(p.name for p in folder.iterdir() if p.is_file() and p.name not in known),
        }
    protocol = {"size_px": settings.size, "fps": scoring.FPS, "vshift_frames": settings.vshift}
    return {"methods": methods, "protocol": protocol, "clips": len(known), "absent": _absent(settings)}


def _absent(settings: Settings) -> dict[str, str]:
    judges = {
        "sync_conf_corpus": (settings.corpus_syncnet, "no SyncNet trained on a corpus was given"),
        "sync_conf": (settings.syncnet, "the published SyncNet weights were not given"),
        "csim": (settings.arcface, "no ArcFace network was given"),
    }
    return {name: reason for name, (path, reason) in judges.items() if path is None}


def _videos(folder: Path) -> Path:
    if not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    if not _mp4s(folder):
        raise ValueError(f"{folder} holds no video: <clip_id>.mp4 is expected")
    return folder


def _mp4s(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.mp4") if path.is_file())


def _sound(path: Path) -> Sound | None:
    try:
        samples = decode.read_audio(path, AUDIO_RATE)
    except (decode.MediaError, OSError):
        return None
    return Sound(samples, AUDIO_RATE) if np.any(samples) else None
