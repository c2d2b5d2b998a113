"""Fitting the face model to landmarks: pose and expression per frame, one identity per clip, in closed form.

The camera is weak perspective: the head is turned, scaled and shifted, and what lies further away is not smaller.
All frames at once: pose by Procrustes analysis (Umeyama 1991) of the vertices that the skull carries, coefficients by
ridge regression, in alternation. Outliers are met with Huber's modified residuals (Huber 1981, section 7.8): an
observation too far from its prediction is moved to a bounded distance, so that one set of normal equations serves all
frames. Of the three angles, landmarks tell the pitch worst, and the head's movement on its neck helps: :func:`nod`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.linalg import solveh_banded
from torch import Tensor

from dreamtalk_models.face_model import FaceModel, rotation_angles, rotation_matrix

OUTLIER = 3.0
"""A residual longer than so many times its frame's median residual is an outlier."""

FILLED_WEIGHT = 0.1
"""Of a frame in which no face was found and whose landmarks were interpolated; a measured frame weighs 1."""
ON_THE_LINE = 2e-3  # px; no measured frame comes so near to the middle of its neighbours with all of its landmarks

POSTURE = 500.0
"""Strength of :func:`smooth` that leaves what lasts longer than about a second, at 25 frames a second: posture."""
LARGEST_NOD_CORRECTION = 0.05
"""Radians. A head that is carried about moves as in a nod without nodding."""


@dataclass(frozen=True)
class Fit:
    """A fitted clip.

    Attributes:
        identity: (I,).
        expression: (n, D).
        angles: (n, 3) radians.
        translation: (n, 3), px, px and log scale as in :func:`dreamtalk_models.face_model.pose`.
        rmse: (n,) px, root mean square distance of vertices from landmarks in the picture plane.
    """

    identity: Tensor
    expression: Tensor
    angles: Tensor
    translation: Tensor
    rmse: Tensor


def fit(
    model: FaceModel,
    landmarks: Tensor,
    *,
    identity_weight: float,
    expression_weight: float,
    smoothing: float,
    pose_smoothing: float,
    neck: float,
    iterations: int = 2,
    identity_frames: int = 32,
) -> Fit:
    """Fit all frames of a clip.

    Args:
        model: the face model.
        landmarks: (n, 468 or more, 3) float32 px, n ≥ 1, of MediaPipe's mesh; z in the same scale. Frames that were
            filled in between others (see :func:`measured`) have no say in the identity and little elsewhere.
        identity_weight, expression_weight: pull of the coefficients towards zero, in units of their standard
            deviations, against summed squared distances in model units.
        smoothing: pull of each frame towards its neighbours, against 1 towards its own data, on all of the face but
            lips and eyelids, whose quick motion is meant.
        pose_smoothing: the same of angles, shift and scale. The expression is what is left of the pose of each frame
            by itself, so that what shakes all landmarks alike does not become expression.
        neck: see :func:`nod`; 0 leaves the pitch as the landmarks have it.
        iterations: alternations of pose and coefficients.
        identity_frames: at most so many frames, evenly spread, decide the identity.
    """
    face, seen = model.observed_part, measured(landmarks)
    points = model.observe(landmarks)
    solver = _solver(face, identity_weight, expression_weight)
    known = seen.nonzero()[:, 0]
    spread = torch.linspace(0, len(known) - 1, min(len(known), identity_frames)).round().long()
    identity = solver.identity(points[known[spread]], iterations + 1)
    neutral = face.vertices(identity, identity.new_zeros(face.expression_dim))

    expression = neutral.new_zeros(len(points), face.expression_dim)
    for iteration in range(iterations):
        displacement = unpose(points, solver.pose(neutral, expression, points)) - neutral
        if iteration > 0:
            displacement = solver.clip_outliers(displacement, expression)
        expression = solver.expression(displacement)
    weights = torch.where(seen, 1.0, FILLED_WEIGHT)
    rigid = solver.pose(neutral, expression, points)
    if neck:
        rigid[:, 0] = nod(rigid, neck, weights)
    displacement = solver.clip_outliers(unpose(points, rigid) - neutral, expression)
    displacement[:, solver.slow] = smooth(displacement[:, solver.slow], smoothing, weights)
    expression = solver.expression(displacement)
    rigid = smooth(rigid, pose_smoothing, weights)

    angles, translation = rigid[:, :3], rigid[:, [3, 4, 6]]
    distance = (face.project(identity, expression, angles, translation) - points)[..., :2]
    return Fit(identity, expression, angles, translation, distance.square().sum(-1).mean(-1).sqrt())


def measured(landmarks: Tensor) -> Tensor:
    """(n,) bool: False for frames whose landmarks (n, k, 3) px all lie midway between those of their neighbours, as
    only interpolation puts them. A clip of which that is true throughout counts as measured."""
    seen = torch.ones(len(landmarks), dtype=torch.bool, device=landmarks.device)
    if len(landmarks) > 2:
        seen[1:-1] = landmarks.diff(2, dim=0).abs().amax((1, 2)) > ON_THE_LINE
    return seen if seen[1:-1].any() else torch.ones_like(seen)


def nod(rigid: Tensor, neck: float, weights: Tensor) -> Tensor:
    """The pitch of a head that sits on a neck.

    A head that nods by an angle moves down by that angle times its distance from the axis in the neck. Pitch read from
    landmarks is noisy (its error is about half of what a talking head moves), the movement in the picture is not: the
    mean of the two readings follows both the published fits and the demo corpus' truth better than either.

    Args:
        rigid: (n, 7), see :func:`procrustes`.
        neck: distance from the neck's axis forward to the model's origin, in model units.
        weights: (n,) of the frames.

    Returns:
        (n,) radians. Posture, which is slow, stays as it was read, and no frame moves by more than
        LARGEST_NOD_CORRECTION.
    """
    disagreement = rigid[:, 4] / (neck * rigid[:, 6].exp().mean()) - rigid[:, 0]
    disagreement = disagreement - smooth(disagreement[:, None], POSTURE, weights)[:, 0]
    return rigid[:, 0] + (disagreement / 2).clamp(-LARGEST_NOD_CORRECTION, LARGEST_NOD_CORRECTION)


class _Solver:
    """The ridge regressions of one face model, factorised once."""

    def __init__(self, model: FaceModel, identity_weight: float, expression_weight: float) -> None:
        self.model = model
        self.stable = model.sets["stable"]
        quick = torch.cat([model.sets[name] for name in ("lips", "left_eye", "right_eye")])
        every = torch.arange(len(model.mean), device=quick.device)
        self.slow = every[~torch.isin(every, quick)]
        expression_prior = expression_weight / model.expression_std.square().clamp_min(1e-8)
        self._expression = _ridge(model.expression_basis, model.vertex_weights, expression_prior)
        self._prior = torch.cat([expression_prior.new_full((model.identity_dim,), identity_weight), expression_prior])
        self._basis = torch.cat([model.identity_basis, model.expression_basis], 1)
        self._stable_basis = model.expression_basis.unflatten(0, (-1, 3))[self.stable].flatten(0, 1)

    def pose(self, neutral: Tensor, expression: Tensor, points: Tensor) -> Tensor:
        """(n, 7), see :func:`procrustes`, of the stable vertices."""
        displacement = (expression @ self._stable_basis.T).unflatten(-1, (-1, 3))
        return procrustes(neutral[self.stable] + displacement, points[:, self.stable])

    def expression(self, displacement: Tensor) -> Tensor:
        """(n, D) of displacements (n, V, 3) from the neutral face."""
        return displacement.flatten(1) @ self._expression.T

    def clip_outliers(self, displacement: Tensor, expression: Tensor) -> Tensor:
        """Displacements (n, V, 3), those far from what `expression` predicts moved towards the prediction."""
        predicted = (expression @ self.model.expression_basis.T).unflatten(-1, (-1, 3))
        residual = displacement - predicted
        length = residual.norm(dim=-1, keepdim=True)
        every = 4 if length.shape[1] > 400 else 1  # a quarter of many vertices tells as much
        limit = OUTLIER * length[:, ::every].median(dim=1, keepdim=True).values
        return predicted + residual * (limit / length.clamp_min(1e-9)).clamp_max(1.0)

    def identity(self, points: Tensor, iterations: int) -> Tensor:
        """(I,) that all frames (n, V, 3) share, solved together with their mean expression."""
        model, frames = self.model, len(points)
        solve = _ridge(self._basis, model.vertex_weights, self._prior / frames)[: model.identity_dim]
        neutral, expression = model.mean, model.mean.new_zeros(frames, model.expression_dim)
        for iteration in range(iterations):
            still = unpose(points, self.pose(neutral, expression, points))
            if iteration > 0:
                still = neutral + self.clip_outliers(still - neutral, expression)
            identity = solve @ (still.mean(0) - model.mean).flatten()
            neutral = model.vertices(identity, expression.new_zeros(model.expression_dim))
            expression = self.expression(still - neutral)
        return identity


@lru_cache(maxsize=4)
def _solver(model: FaceModel, identity_weight: float, expression_weight: float) -> _Solver:
    return _Solver(model, identity_weight, expression_weight)


def procrustes(shape: Tensor, landmarks: Tensor, weights: Tensor | None = None) -> Tensor:
    """The turn, shift and scale that bring shapes nearest to landmarks in least squares (Umeyama 1991).

    Args:
        shape: (..., k, 3) in model units.
        landmarks: (..., k, 3) px.
        weights: (k,), or None for equal ones.

    Returns:
        (..., 7): pitch, yaw, roll in radians, shift in x, y, z in px, logarithm of the scale in px per model unit. All
        but the shift in z, where landmarks have no origin, is a pose of :func:`dreamtalk_models.face_model.pose`.
    """
    weights = torch.ones_like(shape[..., 0]) if weights is None else weights.to(shape)
    weights = (weights / weights.sum(-1, keepdim=True))[..., None]
    shape_mean, landmark_mean = (weights * shape).sum(-2), (weights * landmarks).sum(-2)
    centred = shape - shape_mean[..., None, :]
    left, singular, right = torch.linalg.svd((landmarks - landmark_mean[..., None, :]).mT @ (weights * centred))
    mirror = torch.ones_like(singular)
    mirror[..., 2] = torch.linalg.det(left @ right)
    rotation = (left * mirror[..., None, :]) @ right
    scale = (singular * mirror).sum(-1) / (weights * centred.square()).sum((-2, -1))
    shift = landmark_mean - scale[..., None] * (rotation @ shape_mean[..., None])[..., 0]
    return torch.cat([rotation_angles(rotation), shift, scale.log()[..., None]], -1)


def unpose(landmarks: Tensor, rigid: Tensor) -> Tensor:
    """Landmarks (..., k, 3) px back in model units under a pose (..., 7) of :func:`procrustes`."""
    turn = rotation_matrix(rigid[..., :3]) * (-rigid[..., 6, None, None]).exp()
    return (landmarks - rigid[..., None, 3:6]) @ turn


def smooth(values: Tensor, strength: float, weights: Tensor | None = None) -> Tensor:
    """The y that minimises Σ_t w_t ‖y_t − x_t‖² + strength Σ_t ‖y_t − y_{t−1}‖² for values x (n, ...).

    A tridiagonal system, solved for all columns at once; a constant stays as it is.

    Args:
        weights: (n,) of the frames, positive; None: 1 each.
    """
    if strength == 0 or len(values) == 1:
        return values
    weights = np.ones(len(values)) if weights is None else weights.double().cpu().numpy()
    bands = np.full((2, len(values)), -strength)
    bands[1] = weights + 2 * strength
    bands[1, [0, -1]] -= strength
    right = values.flatten(1).double().cpu().numpy() * weights[:, None]
    return torch.from_numpy(solveh_banded(bands, right, check_finite=False)).to(values).view_as(values)


def _ridge(basis: Tensor, weights: Tensor, prior: Tensor) -> Tensor:
    """(k, V*3): the matrix that takes weighted least squares coefficients under a basis (V*3, k) and a prior (k,)."""
    weighted = (basis * weights.repeat_interleave(3)[:, None]).T.double()
    normal = weighted @ basis.double() + torch.diag(prior.double() + 1e-12)
    return torch.linalg.solve(normal, weighted).to(basis)
