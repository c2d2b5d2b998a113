"""Style intensity over the guidance scale (the paper's figure 14 and section IV-E), in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

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
            in percent of the inter-ocular distance. Guidance multiplies it by ω, whatever the network has learned.
        share: (clips, k) how much of the way from there to the true mean face that is: 1 as far, 0 nowhere near,
            negative away from it.
        agreement: (clips, k) Pearson correlation of the mouth's opening with the true one; nan for a still mouth.
        reference: (clips,) strength of the true motion.
        expressions: of each clip, (k, n, D).
    """

    scales: np.ndarray
    strength: np.ndarray
    share: np.ndarray
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
    strength, share, agreement, reference, expressions = [], [], [], [], []
    for subject in subjects:
        code = reference_code(denoiser, subject.style)

        def at(scale: float, subject: Subject = subject, code: np.ndarray = code) -> np.ndarray:
            clip_seed = seed_of(seed, subject.clip_id)
            return speak(denoiser, subject.windows, code, steps=steps, guidance=scale, method=method, seed=clip_seed)

        neutral = at(0.0)
        spoken = np.stack([neutral if scale == 0 else at(scale) for scale in scales])
        goal = _offset(model, subject.truth, neutral)
        moved = [_offset(model, motion, neutral) for motion in spoken]
        strength.append([length(offset) for offset in moved])
        share.append([float((offset * goal).sum() / goal.square().sum()) for offset in moved])
        reference.append(length(goal))
        truth = _shape(model, subject, subject.truth)
        agreement.append([mouth_opening_correlation(truth, _shape(model, subject, motion)) for motion in spoken])
        expressions.append(spoken)
    columns = (np.array(values) for values in (scales, strength, share, agreement, reference))
    return Sweep(*columns, expressions)


def length(offset: Tensor) -> float:
    """Mean length of vertices' displacements (V, 3), in percent of the inter-ocular distance."""
    return 100 * float(offset.norm(dim=1).mean())


def _offset(model: FaceModel, motion: np.ndarray, neutral: np.ndarray) -> Tensor:
    """(V, 3) from one motion's (n, D) mean face to another's, in model units."""
    moved = torch.as_tensor(motion.mean(0) - neutral.mean(0), dtype=torch.float32)
    return (model.expression_basis @ moved).unflatten(0, (-1, 3))


def _shape(model: FaceModel, subject: Subject, motion: np.ndarray) -> np.ndarray:
    """(n, 68, 3) landmarks of the subject's face under a motion (n, D), in model units."""
    identity, expression = (torch.as_tensor(np.array(x, np.float32)) for x in (subject.identity, motion))
    return model.landmarks68(model.vertices(identity, expression)).numpy()
