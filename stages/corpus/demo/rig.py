"""The facial rig: named muscles as displacement fields over the neutral face mesh, and two that close things.

A linear parameter is a table of handles; a handle pulls the skin around one landmark. Closing lips and lids is
not linear (how far depends on how open they are), so `lips_together` and `blink` are applied last.
Lengths are in units of the distance between the outer eye corners; x to the picture's right, y down, z away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import RBFInterpolator

from dreamtalk_models.face_topology import CONTOUR, INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from stages.corpus.demo.photograph import Photograph

# Brows and nose stay where the photograph has them when its smile is taken away.
_UNMOVED = (*CONTOUR, *RIGHT_EYE, *LEFT_EYE, 46, 52, 55, 65, 70, 276, 282, 285, 295, 300, 1, 2, 4, 98, 327, 168, 6)

# parameter → handles (landmark on the right side or the middle, displacement (x, y, z), reach, side of the mouth).
# A handle on the right side pulls its mirror image alike.
Handle = tuple[int, tuple[float, float, float], float, str]
FIELDS: dict[str, tuple[Handle, ...]] = {
    "lip_pucker": (
        (61, (0.15, 0.0, -0.06), 0.16, "all"),
        (0, (0.0, -0.015, -0.10), 0.20, "upper"),
        (17, (0.0, 0.015, -0.10), 0.20, "lower"),
    ),
    "lip_funnel": (
        (61, (0.10, 0.0, -0.05), 0.15, "all"),
        (0, (0.0, -0.05, -0.10), 0.19, "upper"),
        (17, (0.0, 0.06, -0.10), 0.19, "lower"),
    ),
    "lip_stretch": ((61, (-0.11, 0.01, 0.04), 0.17, "all"),),
    "smile": ((61, (-0.09, -0.11, 0.04), 0.17, "all"), (205, (-0.02, -0.045, -0.02), 0.22, "all")),
    "smirk": ((291, (0.09, -0.12, 0.03), 0.17, "left"), (425, (0.02, -0.05, -0.02), 0.2, "left")),
    "frown": ((61, (-0.01, 0.10, 0.0), 0.15, "all"), (17, (0.0, -0.015, 0.0), 0.15, "lower")),
    "upper_lip_raise": ((37, (0.0, -0.07, 0.0), 0.15, "upper"), (98, (-0.01, -0.02, 0.0), 0.12, "upper")),
    "lower_lip_depress": ((84, (0.0, 0.08, 0.0), 0.15, "lower"),),
    "lower_lip_tuck": ((84, (0.0, -0.06, 0.06), 0.14, "lower"),),
    "lip_press": ((37, (0.0, 0.03, 0.03), 0.10, "upper"), (84, (0.0, -0.035, 0.03), 0.11, "lower")),
    "chin_raise": ((175, (0.0, -0.06, -0.03), 0.22, "lower"), (17, (0.0, -0.045, -0.03), 0.16, "all")),
    "brow_raise_inner": ((55, (0.0, -0.10, 0.0), 0.15, "all"), (107, (0.0, -0.05, 0.0), 0.15, "all")),
    "brow_raise_outer": ((70, (0.0, -0.09, 0.0), 0.17, "all"), (105, (0.0, -0.05, 0.0), 0.15, "all")),
    "brow_furrow": ((55, (0.06, 0.085, -0.01), 0.15, "all"), (65, (0.02, 0.05, 0.0), 0.15, "all")),
    "eye_widen": ((159, (0.0, -0.055, 0.0), 0.085, "all"), (145, (0.0, 0.018, 0.0), 0.06, "all")),
    "eye_squint": ((145, (0.0, -0.04, 0.0), 0.09, "all"), (159, (0.0, 0.03, 0.0), 0.08, "all")),
    "cheek_raise": ((50, (0.0, -0.07, -0.03), 0.22, "all"), (145, (0.0, -0.02, 0.0), 0.09, "all")),
    "nose_wrinkle": (
        (98, (-0.015, -0.06, 0.0), 0.13, "all"),
        (37, (0.0, -0.035, 0.0), 0.14, "upper"),
        (193, (0.0, -0.02, 0.0), 0.13, "all"),
        (55, (0.02, 0.05, 0.0), 0.13, "all"),
    ),
}
JAW_DROP = (0.0, 0.38, 0.07)  # of the chin at jaw_open = 1
LINEAR = ("jaw_open", *FIELDS)
PARAMETERS = (*LINEAR, "lips_together", "blink")
INDEX = {name: place for place, name in enumerate(PARAMETERS)}

_LIP_REACH, _LID_REACH = 0.11, 0.07  # how far the skin follows


def neutral_shape(photo: Photograph) -> np.ndarray:
    """The photograph's shape (468, 3) with the smile taken away and the lips just touching."""
    shape = photo.shape
    rings = list(OUTER_LIPS + INNER_LIPS)
    lips = shape[rings].copy()
    corner = shape[61]
    across = lips[:, 0] / abs(corner[0])
    seam = 0.667 - 0.012 * np.cos(np.pi * across)
    inner = np.arange(len(rings)) >= len(OUTER_LIPS)
    lower = lips[:, 1] > shape[78, 1] + 0.5 * (shape[14, 1] - shape[78, 1]) * (1 - across**2)
    fullness = np.clip(1 - np.abs(across) ** 2.5, 0, 1)
    lips[:, 1] = np.where(inner, seam, seam + np.where(lower, 0.098, -0.075) * fullness)
    lips[:, 0] *= 0.84
    lips[:, 2] -= 0.02 * across**2
    known = rings + list(_UNMOVED)
    moved = np.concatenate([lips - shape[rings], np.zeros((len(_UNMOVED), 3))])
    field = RBFInterpolator(shape[known], moved, kernel="linear", smoothing=1e-6)(shape)
    return _symmetric(shape + field, photo.mirror)


def _symmetric(shape: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    return (shape + shape[mirror] * (-1, 1, 1)) / 2


def below_the_mouth(shape: np.ndarray) -> np.ndarray:
    """How far each point of the open-mouthed `shape` moves with the jaw, (468,) in [0, 1]."""
    x, y = np.abs(shape[:, 0]), shape[:, 1]
    corner, ear = shape[61], shape[234]
    half = abs(corner[0])
    middle = (shape[13, 1] + shape[14, 1]) / 2
    inside = np.clip(x / half, 0, 1)
    outside = np.clip((x - half) / (abs(ear[0]) - half), 0, 1)
    line = middle + (corner[1] - middle) * inside**2 + (ear[1] + 0.33 - corner[1]) * outside
    band = 0.012 + 0.16 * np.clip(inside - 0.7, 0, 1) + 0.42 * outside
    ramp = np.clip((y - line) / (2 * band) + 0.5, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def handle_field(shape: np.ndarray, mirror: np.ndarray, handles: tuple[Handle, ...], lower: np.ndarray) -> np.ndarray:
    """Displacements (468, 3) of all handles together."""
    sides = {"all": 1.0, "upper": 1.0 - lower, "lower": lower, "left": np.clip(shape[:, 0] / 0.1, 0, 1)}
    total = np.zeros_like(shape)
    for anchor, pull, reach, side in handles:
        pulls = {anchor: np.array(pull)}
        if mirror[anchor] != anchor and side != "left":
            pulls[int(mirror[anchor])] = np.array(pull) * (-1, 1, 1)
        near = {at: np.exp(-(((shape - shape[at]) ** 2) @ (1.0, 1.0, 0.25)) / reach**2) for at in pulls}
        crowding = np.maximum(sum(near.values()), 1.0)
        for at, vector in pulls.items():
            total += (near[at] / crowding * sides[side])[:, None] * vector
    return total


@dataclass(frozen=True)
class Seam:
    """Two edges that meet: the upper and the lower lip, or lid.

    upper, lower: (k,) landmarks along each edge; across: (2 k, 468) weights that read, for every point of both
    edges, the height of the other edge at its place; follow: (468, 2 k) how far the skin goes with each point;
    upper_part: share of the way that the upper edge goes.
    """

    upper: np.ndarray
    lower: np.ndarray
    across: np.ndarray
    follow: np.ndarray
    upper_part: float

    def close(self, shapes: np.ndarray, amount: np.ndarray) -> np.ndarray:
        """`shapes` (n, 468, 3) with the gap closed by `amount` (n, 1) in [0, 1]; wholly where edges have crossed."""
        heights = shapes[:, :, 1]
        edges = np.concatenate([self.upper, self.lower])
        towards = heights @ self.across.T - heights[:, edges]
        parted = np.where(np.arange(len(edges)) < len(self.upper), towards, -towards) > 0
        part = np.repeat([self.upper_part, 1 - self.upper_part], [len(self.upper), len(self.lower)])
        closed = shapes.copy()
        closed[:, :, 1] += (np.where(parted, np.clip(amount, 0, 1), 1.0) * towards * part) @ self.follow.T
        return closed


@dataclass(frozen=True)
class Rig:
    """shape: (468, 3) neutral face; basis: (parameters, 468, 3) displacements of the linear parameters."""

    shape: np.ndarray
    basis: np.ndarray
    lips: Seam
    lids: tuple[Seam, Seam]

    def pose(self, values: np.ndarray) -> np.ndarray:
        """Face shapes (n, 468, 3) for parameter values (n, 20), in the order of `PARAMETERS`."""
        linear = values[:, : len(LINEAR)]
        shapes = self.shape + np.tensordot(linear, self.basis, axes=1)
        together, blink = (values[:, INDEX[name], None] for name in ("lips_together", "blink"))
        shapes = self.lips.close(shapes, together)
        for lids in self.lids:
            shapes = lids.close(shapes, blink)
        return shapes


def make_seam(shape: np.ndarray, ring: tuple[int, ...], reach: float, below: np.ndarray, upper_part: float) -> Seam:
    """The seam of a `ring` of landmarks that starts in one corner, runs along the lower edge to the other corner
    and back along the upper; `below`: (468,) how much each point belongs to the lower side."""
    half = len(ring) // 2
    lower, upper = np.array(ring[1:half]), np.array(ring[:half:-1])
    across = np.zeros((2 * len(upper), len(shape)))
    for rows, points, edge in ((0, upper, lower), (len(upper), lower, upper)):
        line = np.array([ring[0], *edge, ring[half]])
        for row, point in enumerate(points, rows):
            across[row, line] = _between(shape[line, 0], shape[point, 0])
    parts = []
    for edge, other, side in ((upper, lower, 1 - below), (lower, upper, below)):
        distance = np.linalg.norm(shape[:, None] - shape[edge], axis=2)
        nearest = np.exp(-((distance / 0.035) ** 2)) + 1e-12
        fade = np.exp(-((distance.min(1) / reach) ** 2)) * side
        weight = nearest / nearest.sum(1, keepdims=True) * fade[:, None]
        weight[edge] = np.eye(len(edge))
        weight[[*other, ring[0], ring[half]]] = 0
        parts.append(weight)
    return Seam(upper, lower, across, np.concatenate(parts, axis=1), upper_part)


def _between(places: np.ndarray, place: float) -> np.ndarray:
    """Weights of linear interpolation at `place` among `places` (k,), which are ascending or descending."""
    return np.array([np.interp(place, *_ascending(places, column)) for column in np.eye(len(places))])


def _ascending(places: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(places, kind="stable")
    return places[order], values[order]


def _lips(photo: Photograph, below: np.ndarray) -> Seam:
    return make_seam(photo.shape, INNER_LIPS, _LIP_REACH, below, 0.5)


def identity_shape(photo: Photograph, fields: dict[str, tuple[Handle, ...]], identity: np.ndarray) -> np.ndarray:
    """The neutral face (468, 3), lips closed, of an identity: one number per entry of `fields`."""
    shape = neutral_shape(photo)
    below = below_the_mouth(photo.shape)
    basis = np.stack([handle_field(shape, photo.mirror, handles, below) for handles in fields.values()])
    moved = shape + np.tensordot(identity, basis, axes=1)
    return _lips(photo, below).close(moved[None], np.ones((1, 1)))[0]


def build_rig(photo: Photograph, shape: np.ndarray) -> Rig:
    """The rig of a face whose neutral shape is `shape` (468, 3)."""
    below = below_the_mouth(photo.shape)
    reference = neutral_shape(photo)
    jaw = below[:, None] * np.array(JAW_DROP)
    fields = [jaw] + [handle_field(reference, photo.mirror, handles, below) for handles in FIELDS.values()]
    hairline = np.clip((reference[:, 1] - reference[10, 1]) / 0.3, 0, 1)[:, None]
    under = _below_the_eye(reference)
    lids = tuple(make_seam(reference, ring, _LID_REACH, under, 0.9) for ring in (RIGHT_EYE, LEFT_EYE))
    return Rig(shape, np.stack(fields) * hairline, _lips(photo, below), lids)


def _below_the_eye(shape: np.ndarray) -> np.ndarray:
    """1 for points under the line through an eye's corners, 0 for those over it, (468,)."""
    result = np.zeros(len(shape))
    for ring in (RIGHT_EYE, LEFT_EYE):
        a, b = shape[ring[0]], shape[ring[8]]
        side = (shape[:, 0] < 0) == (a[0] < 0)
        line = a[1] + (shape[:, 0] - a[0]) / (b[0] - a[0]) * (b[1] - a[1])
        result[side] = (shape[side, 1] > line[side]).astype(float)
    return result
