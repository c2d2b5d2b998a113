"""Sections of the page on style: the style codes (figure 13) and the style's intensity (figure 14)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from dreamtalk_models.face_model import FaceModel
from stages.columns import Columns
from stages.evaluation.motion import Motion, Pose
from stages.evaluation.portrait import MESH_POINTS, Portrait
from stages.evaluation.rendering import warp
from stages.evaluation.report import claims, figures, intensity, pictures, style_codes
from stages.evaluation.report.choice import spread
from stages.evaluation.report.job import Job, style_name
from stages.evaluation.report.results import Absent
from stages.evaluation.talking_head import reference_code
from stages.features.audio import windows


def style_section(job: Job) -> dict[str, Any] | Absent:
    """Figure 13: style codes of the corpus' clips."""
    split, motion, p = job.results.split, job.results.motion, job.params.report
    rows = split[split["clip_id"].isin(list(motion))].sort_values(["style", "clip_id"])
    rows = rows.iloc[np.linspace(0, len(rows) - 1, min(len(rows), p.style_codes)).round().astype(int)]
    if rows["speaker"].nunique() < 2 or len(rows) < 4:
        return Absent("A map of style codes needs four clips and two speakers.")
    denoiser = job.denoiser()
    codes = np.stack([reference_code(denoiser, motion[clip_id]["expression"]) for clip_id in rows.index])
    speakers, emotions = rows["speaker"].tolist(), rows["emotion"].fillna("unknown").tolist()
    points = style_codes.tsne(codes, job.params.seed)
    k = p.neighbours
    questions = {
        "same speaker": (speakers, None),
        "same emotion": (emotions, None),
        "same emotion, among other speakers' clips": (emotions, speakers),
    }
    purity = {name: style_codes.purity(codes, labels, k, apart) for name, (labels, apart) in questions.items()}
    labels = {"speaker": speakers, "emotion": emotions}
    grouped = {name: values for name, values in labels.items() if 1 < len(set(values)) < len(values)}
    silhouettes = {name: style_codes.silhouette(codes, values) for name, values in grouped.items()}
    return {
        "clips": len(rows),
        "neighbours": k,
        "map": job.draw("style_codes", figures.style_map, points, labels),
        "purity": pd.DataFrame(
            [
                {f"of {k} nearest neighbours": name, "share, %": 100 * found.mean, "by chance, %": 100 * found.chance}
                for name, found in purity.items()
            ]
        ),
        "findings": [
            claims.compare(
                claims.PAPER,
                "Style codes gather by speaker before they gather by emotion (IV‑D)",
                f"own among {k} neighbours, %",
                *(pd.Series(100 * purity[question].shares) for question in ("same speaker", "same emotion")),
                better="higher",
                digits=1,
            )
        ],
        "silhouette": silhouettes,
        "numbers": {f"style_silhouette/{name}": value for name, value in silhouettes.items()}
        | {
            f"style_purity/{name}": purity[question].mean
            for name, question in zip(("speaker", "emotion", "emotion_across_speakers"), questions, strict=True)
        },
    }


def intensity_section(job: Job) -> dict[str, Any]:
    """Figure 14: what the guidance scale does to the style's intensity and to the lips."""
    results, p = job.results, job.params
    known = results.split["clip_id"].isin(list(results.motion))
    test = results.split[known & (results.split["split"] == "test")]
    ids = spread(test, p.report.intensity_clips)
    denoiser, model = job.denoiser(), job.face_model()
    subjects = [_subject(job, clip_id, denoiser.config["window"]) for clip_id in ids]
    scales = sorted(p.report.guidance_scales)
    found = intensity.sweep(
        denoiser, model, subjects, scales, steps=p.generate.steps, method=p.generate.method, seed=p.seed
    )
    rows = []
    for i, scale in enumerate(scales):
        measured = {"strength": found.strength, "share": found.share, "agreement": found.agreement}
        rows.append(
            {"scale": scale} | {name: job.estimate(pd.Series(values[:, i])) for name, values in measured.items()}
        )
    count = p.report.intensity_pictures
    sheet = pictures.grid(
        [wearing(job, model, ids[i], found.expressions[i]) for i in range(min(count, len(ids)))],
        [f"ω = {scale:g}" for scale in scales],
        [style_name(*test.loc[clip_id, ["emotion", "level"]]) for clip_id in ids[:count]],
        pictures.STRIP_PX,
    )
    reference = float(found.reference.mean())
    return {
        "clips": len(ids),
        "rows": rows,
        "reference": reference,
        "plot": job.draw("intensity", figures.intensity, scales, found.strength, found.agreement, reference),
        "sheet": pictures.save(sheet, job.folder / "intensity_pictures.jpg"),
        "findings": _guidance_findings(found),
        "numbers": {
            **{f"intensity@{row['scale']:g}": row["strength"].mean for row in rows},
            **{f"style_share@{row['scale']:g}": row["share"].mean for row in rows},
            **{f"lip_agreement@{row['scale']:g}": row["agreement"].mean for row in rows if row["agreement"]},
            "intensity_of_references": reference,
        },
    }


def wearing(job: Job, model: FaceModel, clip_id: str, expressions: np.ndarray) -> list[np.ndarray]:
    """The clip's first frame with the middle expression of each of some motions (k, n, D)."""
    motion = job.results.motion[clip_id]
    landmarks = Columns(job.results.root / "data/landmarks")[clip_id]["landmarks"][0]
    angles, translation = motion["angles"][0], motion["translation"][0]
    portrait = Portrait(
        landmarks=landmarks.reshape(-1, 3)[:MESH_POINTS],
        identity=motion["identity"],
        expression=motion["expression"][0],
        angles=angles,
        translation=translation,
    )
    middle = expressions[:, expressions.shape[1] // 2]
    still = Pose(np.tile(angles, (len(middle), 1)), np.tile(translation, (len(middle), 1)))
    picture = job.results.clips.frames(clip_id, [0])[0]
    return list(warp(model, picture, portrait, Motion(middle, still)))


def _guidance_findings(found: intensity.Sweep) -> list[claims.Finding]:
    """What the strongest scale does, against ω = 1."""
    scales = found.scales.tolist()
    if 1.0 not in scales or max(scales) <= 1:
        return []
    most, one = len(scales) - 1, scales.index(1.0)
    strongest = f"ω = {scales[most]:g}"
    return [
        claims.compare(claims.PAPER, text, label, *(pd.Series(v[:, i]) for i in order), better="higher", digits=digits)
        for text, label, v, order, digits in (
            (f"{strongest} goes farther towards the style than ω = 1 (IV‑E)", "share", found.share, (most, one), 2),
            (f"{strongest} costs lip sync (IV‑E)", "mouth opening at 1", found.agreement, (one, most), 2),
        )
    ]


def _subject(job: Job, clip_id: str, window: int) -> intensity.Subject:
    motion = job.results.motion[clip_id]
    expression = motion["expression"]
    heard = windows(job.results.audio[clip_id]["features"], window)
    # as in generate: the style is shown by the clip's second half
    return intensity.Subject(clip_id, heard, expression[len(expression) // 2 :], motion["identity"], expression)
