"""Sections of the page on what was trained and what it made: corpus, networks, lip expert, videos.

Each takes the run's results, draws its figures into a folder, and returns what the page shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stages.corpus import decode
from stages.corpus.picture.whole import draw
from stages.evaluation.report import figures, fits, networks, pictures
from stages.evaluation.report.choice import spread
from stages.evaluation.report.job import Job, style_name
from stages.evaluation.report.results import Absent
from stages.evaluation.scoring import read_video
from stages.features import overlay
from stages.training import data

SIDE_BY_SIDE = {
    "full": "full",
    "no_lip_expert": "w/o lip expert",
    "uncond_lip_expert": "uncond lip expert",
    "predicted_full": "predicted style",
}
STRIPS = {  # further film strips of a clip, under the truth
    "methods": {"full": "full", "full_pirenderer": "full, PIRenderer"},
    "predicted": {
        "predicted_full": "predicted style",
        "predicted_no_speaker_info": "w/o speaker info",
        "predicted_no_cross_id": "w/o cross-ID",
        "predicted_regression": "regression",
    },
}
MOMENTS = 7  # frames in a film strip


def corpus_section(job: Job) -> dict[str, Any]:
    """The picture of the corpus, and what its contracts came to."""
    results = job.results
    split = results.split.reset_index(drop=True)
    return {
        "picture": draw(results.clips, results.quarantine, split, job.params.crop, job.folder),
        "contracts": results.metrics.get("validate"),
    }


def fit_section(job: Job) -> dict[str, Any]:
    """How good the fits of the face model are: all clips, and the best, the median and the worst with their meshes."""
    table, metrics = job.results.fits, job.results.metrics
    videos = {name: job.results.root / f"data/motion/overlay-{name}.mp4" for name in overlay.CHOSEN}
    explained = {name: share for name, share in metrics.get("face_model", {}).items() if name.startswith("explained/")}
    return {
        "rows": fits.per_clip(table),
        "explained": fits.explained(explained),
        "identity_ratio": metrics.get("fit", {}).get("identity_ratio"),
        "videos": [
            {"name": name, "clip_id": clip_id, "video": videos[name]}
            for name, clip_id in overlay.chosen(table).items()
            if videos[name].is_file()
        ],
    }


def training_section(job: Job) -> dict[str, Any] | Absent:
    """Sizes and curves of all networks."""
    histories = job.results.histories
    if not histories:
        return Absent("No network has left training curves in this run.")
    return {
        "sizes": networks.sizes(job.results.root / "models", histories),
        "curves": job.draw("training_curves", figures.training_curves, histories),
    }


def lip_expert_section(job: Job) -> dict[str, Any] | Absent:
    """How well the lip experts tell sync, and how their verdict falls off with the offset."""
    numbers = networks.lip_expert_numbers(job.results.metrics)
    split = job.results.split
    root = job.results.root
    test = data.load(split[split["split"] == "test"].reset_index(drop=True), root / "data/motion", root / "data/audio")
    curves = networks.offset_curves(root / "models", job.face_model(), test, job.params.lip_expert)
    if not curves:
        return Absent("No lip expert was trained in this run.")
    labels = ("offset of the sound, frames (40 ms)", "mean probability of sync")
    return {"numbers": numbers, "curves": job.draw("lip_expert_offsets", figures.curves, curves, *labels, mark=0)}


def gallery_section(job: Job) -> list[dict[str, Any]] | Absent:
    """Test clips side by side: the truth and what each method made of it."""
    results, p = job.results, job.params.report
    videos = {variant: results.videos(variant) for variant in SIDE_BY_SIDE}
    shown = {variant: found for variant, found in videos.items() if found}
    if not shown:
        return Absent("No videos were generated in this run.")
    complete = set.intersection(*(set(found) for found in shown.values())) & set(results.split.index)
    items = []
    for clip_id in spread(results.split.loc[sorted(complete)], p.gallery_clips):
        fps, rate = job.params.crop.fps, job.params.crop.audio_rate
        films = {"truth": results.clips.frames(clip_id)}
        films |= {SIDE_BY_SIDE[name]: decode.read_video(found[clip_id], fps) for name, found in shown.items()}
        sound = results.clips.audio(clip_id)
        place = job.folder / f"side_by_side_{clip_id}.mp4"
        row = results.split.loc[clip_id]
        items.append(
            {
                "clip_id": clip_id,
                "speaker": row["speaker"],
                "style": style_name(row["emotion"], row["level"]),
                "video": pictures.side_by_side(place, films, p.gallery_px, fps, p.gallery_seconds, sound, rate),
                "strip": _strip(job, films, f"film_strip_{clip_id}"),
                "strips": {name: _more(job, clip_id, name, films["truth"]) for name in STRIPS},
            }
        )
    return items


def _more(job: Job, clip_id: str, name: str, truth: np.ndarray) -> Path | None:
    """One of :data:`STRIPS` of a clip; None where nothing but the truth is there."""
    results = job.results
    found = {label: results.videos(variant).get(clip_id) for variant, label in STRIPS[name].items()}
    if name == "methods":
        found |= {method: files.get(clip_id) for method, files in results.method_videos.items()}
    films = {"truth": truth}
    for label, path in found.items():
        if path is not None:
            film, _ = read_video(path, truth.shape[1])
            films |= {label: film.frames} if len(film.frames) else {}
    return _strip(job, films, f"{name}_{clip_id}") if len(films) > 1 else None


def _strip(job: Job, films: Mapping[str, np.ndarray], name: str) -> Path:
    return pictures.save(pictures.strip(films, MOMENTS, pictures.STRIP_PX), job.folder / f"{name}.jpg")
