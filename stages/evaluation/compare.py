"""Scores of any methods' videos against real ones, from folders of files alone: `dreamtalk evaluate`."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from stages import shards
from stages.corpus import decode
from stages.evaluation import scoring
from stages.evaluation.metrics.summary import summarise
from stages.evaluation.scoring import Settings, Sound, Truth, Video
from stages.files import atomic_path, write_json
from stages.progress import track

AUDIO_RATE = 16000  # Hz, of SyncNet
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi")
LIKENESS = 0.5  # of two names (difflib), above which the one may be a slip of the other
MOST_COMPARED = 20_000  # pairs of names, by difflib: a second or two; the first clips show where all are wrong


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
        truth: folder of real videos, <clip_id>.mp4, or another container (`VIDEOS`).
        methods: folders of generated ones with the same names, whatever the container, by the method's name.
        settings: the rulers; None: as published, without judges of lips and identity. Motion metrics (SA, SCD, MD,
            LVE) need the corpus and are no part of this: the stage `evaluate_methods` has them.
        resamples, seed: of the bootstrap intervals.

    Returns:
        what metrics.csv holds: method, clip_id, the metrics (empty where one could not be computed), `source`, the
        video's own size and rate, and `reason`. A missing, damaged, shorter or longer video, or one without face or
        sound, is scored as far as it goes, and says so there.

    Raises:
        ValueError: a folder is missing or holds no video, or two videos of one have the same name; it is named.
    """
    settings = settings or Settings()
    real = videos(truth)
    found = {name: videos(folder) for name, folder in methods.items()}
    places = {name: wanted(real, found[name], methods[name]) for name in methods}
    jobs = [(path, {name: places[name][clip_id] for name in methods}, settings) for clip_id, path in real.items()]
    done = shards.in_workers(score_clip, jobs)
    rows = [row for rows in track(done, "evaluate", total=len(jobs)) for row in rows]
    rows.sort(key=lambda row: row["clip_id"])  # the first rows order the columns
    table = pd.DataFrame(rows).sort_values(["method", "clip_id"], ignore_index=True)
    told = ["source", "reason"]
    table = table[[*(name for name in table if name not in told), *told]]
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(out / "metrics.csv") as tmp:
        table.to_csv(tmp, index=False, float_format="%.6g")
    write_json(_summary(table, real, found, settings, resamples, seed), out / "summary.json")
    return table


class Wanted(NamedTuple):
    """Where a method's video of a clip should be, and a file that may be it under a wrong name."""

    path: Path
    mistaken: str | None

    def read(self, size: int) -> tuple[Video, str | None]:
        """As :func:`scoring.read_video`."""
        video, obstacle = scoring.read_video(self.path, size)
        if obstacle and self.mistaken and not self.path.exists():
            obstacle += f"; is it {self.mistaken}?"
        return video, obstacle


def score_clip(path: Path, wanted: Mapping[str, Wanted], settings: Settings) -> list[dict]:
    """Rows of one clip: its real video's path, each method's video by name."""
    judges = scoring.judges(settings)
    real, obstacle = scoring.read_video(path, settings.size)
    truth = Truth(real.frames, real.points)
    notes = [f"truth: {obstacle}"] if obstacle else []
    return [
        {"method": name, "clip_id": path.stem, **_row(place, path, truth, notes, judges)}
        for name, place in wanted.items()
    ]


def _row(wanted: Wanted, real: Path, truth: Truth, notes: list[str], judges: scoring.Judges) -> dict:
    video, obstacle = wanted.read(judges.settings.size)
    notes = [*notes, *([obstacle] if obstacle else [])]
    values = {}
    if len(truth.frames) and len(video.frames):
        sound, remark = _heard(wanted.path, real)
        values, more = scoring.score(video, truth, sound, judges)
        notes += [*more, *([remark] if remark else [])]
    return {**values, "source": _source(wanted.path), "reason": "; ".join(notes)}


def _heard(path: Path, real: Path) -> tuple[Sound | None, str | None]:
    """What lips are judged by, and a remark where that is not the video's own sound."""
    own = _sound(path)
    if own is not None:
        return own, None
    other = _sound(real)
    return other, "no sound: " + ("lips not judged, the truth has none either" if other is None else "the truth's used")


def _source(path: Path) -> str:
    try:
        about = decode.probe(path)
    except (decode.MediaError, OSError):
        return ""
    return f"{about.width}x{about.height} px, {about.fps:.4g} frames/s"


def _summary(
    table: pd.DataFrame,
    real: Mapping[str, Path],
    found: Mapping[str, Mapping[str, Path]],
    settings: Settings,
    resamples: int,
    seed: int,
) -> dict:
    methods = {}
    for name, files in found.items():
        rows = table[table["method"] == name]
        methods[name] = {
            "metrics": summarise(rows, resamples, seed),
            "clips": len(rows),
            "with_remarks": int((rows["reason"] != "").sum()),
            "files_without_truth": sorted(path.name for clip_id, path in files.items() if clip_id not in real),
        }
    protocol = {"size_px": settings.size, "fps": scoring.FPS, "vshift_frames": settings.vshift}
    return {"methods": methods, "protocol": protocol, "clips": len(real), "absent": _absent(settings)}


def _absent(settings: Settings) -> dict[str, str]:
    judges = {
        "sync_conf_corpus": (settings.corpus_syncnet, "no SyncNet trained on a corpus was given"),
        "sync_conf": (settings.syncnet, "the published SyncNet weights were not given"),
        "csim": (settings.arcface, "no ArcFace network was given"),
        "id_sim_corpus": (settings.corpus_identity, "no identity judge trained on a corpus was given"),
        "lpips": (settings.vgg16, "the weights of VGG16 were not given"),
    }
    return {name: reason for name, (path, reason) in judges.items() if path is None}


def videos(folder: Path) -> dict[str, Path]:
    """A folder's videos by clip id, their names without suffix.

    Raises:
        ValueError: there is no such folder, no video in it, or two have the same name.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in filter(is_video, sorted(folder.iterdir())):
        if path.stem in found:
            raise ValueError(f"{folder}: {found[path.stem].name} and {path.name} are videos of one clip; keep one")
        found[path.stem] = path
    if not found:
        raise ValueError(f"{folder} holds no video: <clip_id>.mp4 is expected")
    return found


def is_video(path: Path) -> bool:
    """Does a file count as a video, by its name? Hidden ones (unfinished, or macOS' companions) do not."""
    return path.suffix.lower() in VIDEOS and not path.name.startswith(".") and path.is_file()


def wanted(real: Collection[str], found: Mapping[str, Path], folder: Path) -> dict[str, Wanted]:
    """By the clip ids `real` the videos among those `found` in a method's `folder`."""
    strangers = [name for name in found if name not in real]
    free = [name for name in strangers if not _within(tuple(real), name)]
    missing = [clip_id for clip_id in real if clip_id not in found]
    near = {clip_id: [name for name in strangers if _within(clip_id, name)] for clip_id in missing}
    unlike = [clip_id for clip_id in missing if not near[clip_id]]
    for clip_id in unlike[: MOST_COMPARED // max(len(free), 1)]:
        near[clip_id] = difflib.get_close_matches(clip_id, free, n=1, cutoff=LIKENESS)
    lost = {c: Wanted(folder / f"{c}.mp4", found[names[0]].name if names else None) for c, names in near.items()}
    return {clip_id: lost.get(clip_id) or Wanted(found[clip_id], None) for clip_id in real}


def _within(clip_id: str | tuple[str, ...], name: str) -> bool:
    """Does a name begin or end with a clip id, or any of several?"""
    return name.startswith(clip_id) or name.endswith(clip_id)


def _sound(path: Path) -> Sound | None:
    try:
        samples = decode.read_audio(path, AUDIO_RATE)
    except (decode.MediaError, OSError):
        return None
    return Sound(samples, AUDIO_RATE) if np.any(samples) else None
