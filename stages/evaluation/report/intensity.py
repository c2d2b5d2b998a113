"""Style intensity over the guidance scale (the paper's figure 14 and section IV-E), in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.diffusion import Method
from dreamtalk_models.face_model import FaceModel
from stages.evaluation.metrics.landmark_distance import mouth_opening_correlation
from stages.evaluation.talking_head import reference_code, seed_of, speak


@dataclass(frozen=True)
class Subject:
    """A test clip that is spoken anew.

    Attributes:
        windows: (n, W, C) its sound around each frame.
        style: (S, D) the style reference.
        identity: (I,). truth: (n, D) its true expression.
    """

    clip_id: str
    windows: np.ndarray
    style: np.ndarray
    identity: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Sweep:
    """What the guidance scale does.

    Attributes:
        scales: ω, (k,).
        strength: (clips, k) how far the mean face has moved from the face without style, ω = 0: mean over vertices,
            in percent of the inter-ocular distance.
        agreement: (clips, k) Pearson correlation of the mouth's opening with the true one; nan for a still mouth.
        reference: (clips,) strength of the true motion.
        expressions: of each clip, (k, n, D).
    """

    scales: np.ndarray
    strength: np.ndarray
    agreement: np.ndarray
    reference: np.ndarray
    expressions: list[np.ndarray]


def sweep(
    denoiser: Denoiser,
    model: FaceModel,
    subjects: Sequence[Subject],
    scales: Sequence[float],
    *,
    steps: int,
    method: Method,
    seed: int,
) -> Sweep:
    """Let every subject speak at every scale, each clip always from the same noise."""
    strength, agreement, reference, expressions = [], [], [], []
    for subject in subjects:
        code = reference_code(denoiser, subject.style)

        def at(scale: float, subject: Subject = subject, code: np.ndarray = code) -> np.ndarray:
            clip_seed = seed_of(seed, subject.clip_id)
            return speak(denoiser, subject.windows, code, steps=steps, guidance=scale, method=method, seed=clip_seed)

        neutral = at(0.0)
        spoken = np.stack([neutral if scale == 0 else at(scale) for scale in scales])
        strength.append([displacement(model, motion, neutral) for motion in spoken])
        reference.append(displacement(model, subject.truth, neutral))
        truth = _shape(model, subject, subject.truth)
        agreement.append([mouth_opening_correlation(truth, _shape(model, subject, motion)) for motion in spoken])
        expressions.append(spoken)
    return Sweep(np.array(scales), np.array(strength), np.array(agreement), np.array(reference), expressions)


def displacement(model: FaceModel, motion: np.ndarray, neutral: np.ndarray) -> float:
    """Mean distance of the vertices of two motions' (n, D) mean faces, in percent of the inter-ocular distance."""
    moved = torch.as_tensor(motion.mean(0) - neutral.mean(0), dtype=torch.float32)
    offset = (model.expression_basis @ moved).unflatten(0, (-1, 3))
    return 100 * float(offset.norm(dim=1).mean())


def _shape(model: FaceModel, subject: Subject, motion: np.ndarray) -> np.ndarray:
    """(n, 68, 3) landmarks of the subject's face under a motion (n, D), in model units."""
    identity, expression = (torch.as_tensor(np.array(x, np.float32)) for x in (subject.identity, motion))
    return model.landmarks68(model.vertices(identity, expression)).numpy()
