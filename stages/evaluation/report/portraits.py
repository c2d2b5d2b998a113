"""What the portrait adds to a predicted style (the paper's figure 9): one sound, the faces of several speakers."""

from __future__ import annotations

from typing import Any

import numpy as np

from dreamtalk_models import checkpoints
from dreamtalk_models.style_predictor import StylePredictor
from stages.evaluation.report import pictures
from stages.evaluation.report.choice import spread
from stages.evaluation.report.job import Job, style_name
from stages.evaluation.report.results import Absent
from stages.evaluation.report.style_sections import wearing
from stages.evaluation.talking_head import predicted_code, seed_of, speak
from stages.features.audio import windows

SOUNDS, FACES = 3, 5


def portraits_section(job: Job) -> dict[str, Any] | Absent:
    """A sheet: a row a sound, a column a speaker whose face the style was predicted with, all on the same portrait."""
    results, p = job.results, job.params
    split = results.split[results.split["clip_id"].isin(list(results.motion))]
    sounds = spread(split[split["split"] == "test"], SOUNDS)
    faces = split.sort_values("clip_id").groupby("speaker")["clip_id"].first()
    faces = faces.iloc[np.linspace(0, len(faces) - 1, min(FACES, len(faces))).round().astype(int)]
    if len(faces) < 2 or len(sounds) < 2:
        return Absent("The portrait's part in a predicted style needs two speakers and two test clips.")
    path = results.root / "models/style_predictor/full/weights.safetensors"
    predictor, denoiser, model = checkpoints.load(path, StylePredictor), job.denoiser(), job.face_model()
    codes, rows = [], []
    for clip_id in sounds:
        features, seed = results.audio[clip_id]["features"], seed_of(p.seed, clip_id)
        identities = [results.motion[face]["identity"] for face in faces]
        own = [predicted_code(predictor, features, i, steps=p.generate.style_steps, seed=seed) for i in identities]
        how = {"steps": p.generate.steps, "guidance": p.generate.guidance, "method": p.generate.method, "seed": seed}
        heard = windows(features, denoiser.config["window"])[: len(results.motion[clip_id]["expression"])]
        rows.append(wearing(job, model, clip_id, np.stack([speak(denoiser, heard, code, **how) for code in own])))
        codes.append(own)
    names = [style_name(*split.loc[clip_id, ["emotion", "level"]]) for clip_id in sounds]
    sheet = pictures.grid(rows, [f"face of {speaker}" for speaker in faces.index], names, pictures.STRIP_PX)
    found = np.array(codes)
    return {
        "sheet": pictures.save(sheet, job.folder / "portraits.jpg"),
        "by_face": _spread(found),
        "by_sound": _spread(found.transpose(1, 0, 2)),
    }


def _spread(codes: np.ndarray) -> float:
    """Mean L2 distance of two codes of the same row, (rows, n, d)."""
    n = codes.shape[1]
    distance = np.linalg.norm(codes[:, :, None] - codes[:, None], axis=3)
    return float(distance.sum() / (len(codes) * n * (n - 1)))
