"""All motion metrics of a variant's clips: what was generated against what was fitted to the real clips."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.style_classifier import StyleClassifier
from stages.evaluation.metrics import motion as measure
from stages.evaluation.metrics import style

Clip = Mapping[str, np.ndarray]  # "expression" (n, D), "style_code" (d,)


@dataclass(frozen=True)
class MotionJudges:
    """The networks that judge motion, and the names of the classifier's style groups."""

    face_model: FaceModel
    classifier: StyleClassifier
    classes: Sequence[str]
    denoiser: Denoiser

    @classmethod
    def load(cls, models: Path) -> MotionJudges:
        """From the folder of trained networks. Raises FileNotFoundError or ValueError, naming the file."""
        return cls(
            FaceModel.load(models / "face_model" / "face_model.npz"),
            checkpoints.load(models / "style_classifier" / "weights.safetensors", StyleClassifier),
            json.loads((models / "style_classifier" / "classes.json").read_text(encoding="utf-8")),
            checkpoints.load(models / "denoiser" / "full" / "weights.safetensors", Denoiser),
        )


def motion_scores(
    generated: Mapping[str, Clip], truth: Mapping[str, Clip], split: pd.DataFrame, judges: MotionJudges, predicted: bool
) -> pd.DataFrame:
    """A row per generated clip: sa, md, md_shuffled, lve, intensity and, for predicted styles, scd and scd_shuffled.

    The shuffled values compare each clip with the truth of the clip half the sorted list away: what a motion or code
    has in common with a wrong one. `sa` is missing where the classifier does not know the clip's style group.
    `intensity` is measured from the speaker's neutral face, or from the face model's where there is no neutral clip.

    Args:
        generated, truth: by clip_id; "style_code" is read only if `predicted`.
        split: tables.SPLIT of the whole corpus.
    """
    by_clip = split.set_index("clip_id")
    neutral = neutral_expressions(truth, split)
    ids = sorted(generated)
    rows = []
    for clip_id, other in zip(ids, partners(ids), strict=True):
        own, real = generated[clip_id]["expression"], truth[clip_id]["expression"]
        row = {
            "clip_id": clip_id,
            "sa": _style_hit(judges, own, by_clip.loc[clip_id, "style"]),
            "md": measure.motion_distance(real, own),
            "md_shuffled": measure.motion_distance(truth[other]["expression"], own),
            "lve": measure.lip_vertex_error(_mouth(judges.face_model, real), _mouth(judges.face_model, own)),
            "intensity": measure.intensity(own, neutral.get(by_clip.loc[clip_id, "speaker"], 0.0)),
        }
        if predicted:
            code = generated[clip_id]["style_code"]
            for name, source in (("scd", clip_id), ("scd_shuffled", other)):
                extracted = style.style_code(judges.denoiser, truth[source]["expression"])
                row[name] = style.style_code_distance(extracted, code)
        rows.append(row)
    return pd.DataFrame(rows)


def neutral_expressions(motion: Mapping[str, Clip], split: pd.DataFrame) -> dict[str, np.ndarray]:
    """Each speaker's mean expression (D,) over the frames of their neutral clips, all splits."""
    clips = split[(split["emotion"] == "neutral") & split["clip_id"].isin(list(motion))].sort_values("clip_id")
    return {
        speaker: np.concatenate([motion[clip_id]["expression"] for clip_id in group]).mean(0)
        for speaker, group in clips.groupby("speaker")["clip_id"]
    }


def partners(ids: Sequence[str]) -> list[str]:
    """The clip half the list away, for each; another one wherever there are two."""
    half = len(ids) // 2
    return [*ids[half:], *ids[:half]]


def _style_hit(judges: MotionJudges, motion: np.ndarray, group: str) -> float:
    if group not in judges.classes:
        return float("nan")
    return float(judges.classes[style.style_group(judges.classifier, motion)] == group)


def _mouth(model: FaceModel, expression: np.ndarray) -> np.ndarray:
    return model.mouth_vertices(torch.from_numpy(np.array(expression, np.float32))).numpy()
