"""A talking photograph: a portrait warped by the motion of its own face mesh, in real time on one CPU core.

Every frame is one `cv2.remap` out of an atlas (the portrait with a drawn mouth cavity below it). The map is
piecewise affine: the triangles of the face mesh, and of a Delaunay mesh between the face and the image border,
are painted as indices in painter's order (surroundings, what lies behind lids and lips, skin), and each index
stands for one affine map back into the atlas.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import cv2
import numpy as np
from scipy.spatial import Delaunay

from dreamtalk_models.face_topology import CONTOUR, INNER_LIPS, LEFT_EYE, RIGHT_EYE, STABLE, VERTICES, triangles
from dreamtalk_models.renderers.openings import (
    MOUTH_SIZE,
    bounds,
    draw_lashes,
    eye_nodes,
    mouth_atlas,
    mouth_light,
    mouth_nodes,
    shows_teeth,
)

# Rings of anchors round the face, as multiples of its outline: how much of the head's motion each one shares.
_RINGS = ((1.25, 1.0), (1.6, 0.9), (2.1, 0.45))
_BEYOND = 1.0  # how far outside the picture a still background is pinned, in units of the face's reach: a head that
# fills the picture keeps its shape when it moves, and the picture's own border is drawn out instead
_SUBPIXEL_BITS = 4
_OUTLINE_BAND = 5  # px
_LEAST_HEIGHT = 0.4  # px; thinner and turned-over triangles are left to their neighbours, which overlap them
_OUTLINE, _LIPS, _STABLE = list(CONTOUR), list(INNER_LIPS), list(STABLE)
_EYES = (list(RIGHT_EYE), list(LEFT_EYE))


@cache
def face_mesh_triangles() -> np.ndarray:
    """Triangles of mediapipe's face mesh, (852, 3) int32, ascending; eyes and mouth are open."""
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

    return np.array(triangles(FACEMESH_TESSELATION), np.int32)


def _affine_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares affine map (3, 2) that takes source (n, 2) to target (n, 2)."""
    return np.linalg.lstsq(np.c_[source, np.ones(len(source))], target, rcond=None)[0]


def _inverse_maps(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For triangles (t, 3, 2): affine maps target → source (t, 6), and each target's share of its source's
    signed area (t,): negative when it turned over."""
    edges = target[:, 1:] - target[:, :1]
    source_edges = source[:, 1:] - source[:, :1]
    area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    source_area = source_edges[:, 0, 0] * source_edges[:, 1, 1] - source_edges[:, 0, 1] * source_edges[:, 1, 0]
    safe = np.where(np.abs(area) < 1e-6, 1e-6, area)
    inverse = np.empty_like(edges)
    inverse[:, 0, 0], inverse[:, 1, 1] = edges[:, 1, 1] / safe, edges[:, 0, 0] / safe
    inverse[:, 0, 1], inverse[:, 1, 0] = -edges[:, 0, 1] / safe, -edges[:, 1, 0] / safe
    linear = inverse @ source_edges
    shift = source[:, 0] - np.einsum("ti,tij->tj", target[:, 0], linear)
    maps = np.stack(
        [linear[:, 0, 0], linear[:, 1, 0], shift[:, 0], linear[:, 0, 1], linear[:, 1, 1], shift[:, 1]], axis=1
    )
    return maps, area * np.sign(source_area)


def _longest_edges(triangles: np.ndarray) -> np.ndarray:
    """Of triangles (t, 3, 2), the length (t,) of the longest edge, never 0."""
    return np.maximum(np.sqrt(np.square(triangles - np.roll(triangles, 1, axis=1)).sum(2).max(1)), 1e-6)


class MeshWarper:
    """Warps one portrait to any number of landmark positions.

    portrait: (H, W, 3) uint8 RGB. landmarks: (468, 2 or 3) pixel positions of mediapipe's face mesh in it.
    background: "still" pins what lies far from the head; "follow" lets everything move with the head, the picture
    mirrored where it runs out. mesh: (t, 3) triangles, `face_mesh_triangles()` unless given.
    Raises ValueError for a portrait or landmarks of another shape.
    """

    def __init__(
        self,
        portrait: np.ndarray,
        landmarks: np.ndarray,
        *,
        background: Literal["still", "follow"] = "still",
        mesh: np.ndarray | None = None,
    ) -> None:
        if portrait.ndim != 3 or portrait.shape[2] != 3 or portrait.dtype != np.uint8:
            raise ValueError(f"portrait must be (H, W, 3) uint8, not {portrait.shape} {portrait.dtype}")
        if background not in ("still", "follow"):
            raise ValueError(f"background must be 'still' or 'follow', not {background!r}")
        self.height, self.width = portrait.shape[:2]
        self._source = _checked(landmarks)[:, :2]
        self._follow = background == "follow"
        outline = self._source[_OUTLINE]
        self._reach = float(np.sqrt(np.prod(np.ptp(outline, axis=0)))) / 2
        self._anchors, self._share, self._drag, around = self._surroundings(outline)
        behind, behind_triangles = self._build_atlas(portrait)
        self._nodes = np.concatenate([self._source, self._anchors, behind])
        skin = face_mesh_triangles() if mesh is None else np.asarray(mesh, np.int32)
        self._triangles = np.concatenate([around, behind_triangles, skin])
        self._behind = (len(around) + 1, len(around) + len(behind_triangles))  # first and last index painted
        parts = self._nodes[self._triangles]
        # of a triangle that is a mere line in the portrait, as between touching lips, no side is the front
        self._thin = np.abs(_inverse_maps(parts, parts)[1]) < _LEAST_HEIGHT * _longest_edges(parts)
        everything = np.array([[-1e6, -1e6, 1e6, 1e6]])
        limits = np.concatenate([everything, np.c_[parts.min(1) - 0.5, parts.max(1) + 0.5]])
        if not self._follow:
            limits[: len(around) + 1] = limits[: len(around) + 1].clip(0, np.tile([self.width - 1, self.height - 1], 2))
        self._limits = np.ascontiguousarray(limits.T, np.float32)
        rows, columns = np.mgrid[0 : self.height, 0 : self.width].astype(np.float32)
        self._x, self._y = np.ascontiguousarray(columns), np.ascontiguousarray(rows)

    def _surroundings(self, outline: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Anchors (a, 2) round the face; how they share the head's motion (a, 1); how the outline's own motion
        drags them (a, 36); and the triangles between the outline and the border."""
        low = np.full(2, -_BEYOND * self._reach)
        high = np.array([self.width - 1.0, self.height - 1.0]) - low
        centre = outline.mean(0)
        rings = [centre + (outline[::2] - centre) * scale for scale, _ in _RINGS]
        inside = [np.all((ring > low + 1) & (ring < high - 1), axis=1) for ring in rings]
        share = [np.full(int(kept.sum()), amount) for kept, (_, amount) in zip(inside, _RINGS, strict=True)]
        across, down = np.linspace(low[0], high[0], 9), np.linspace(low[1], high[1], 9)[1:-1]
        border = [np.c_[across, np.full(9, edge)] for edge in (low[1], high[1])]
        border += [np.c_[np.full(7, edge), down] for edge in (low[0], high[0])]
        anchors = np.concatenate([*(ring[kept] for ring, kept in zip(rings, inside, strict=True)), *border])
        pinned = np.arange(len(anchors)) >= sum(map(len, share))
        shares = np.ones(len(anchors))
        if not self._follow:
            edge = np.minimum(anchors - low, high - anchors).min(1)
            shares = np.concatenate([*share, np.zeros(pinned.sum())]) * np.clip(edge / (0.4 * self._reach), 0, 1)

        away = np.linalg.norm(anchors[:, None] - outline, axis=2)
        near = np.exp(-((away / (0.35 * self._reach)) ** 2)) + 1e-12
        fade = np.where(pinned, 0.0, np.exp(-((away.min(1) / (0.8 * self._reach)) ** 2)))
        drag = near / near.sum(1, keepdims=True) * fade[:, None]

        simplices = Delaunay(np.concatenate([outline, anchors])).simplices
        names = np.concatenate([_OUTLINE, VERTICES + np.arange(len(anchors))])
        outside = names[simplices[(simplices >= len(_OUTLINE)).any(1)]]
        return anchors, shares[:, None], drag, outside.astype(np.int32)

    def _build_atlas(self, portrait: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Join portrait and drawn mouth; where in the atlas what lies behind lids and lips is (b, 2), and its
        triangles: two eyes, the cavity, the teeth (the portrait's own where its mouth is open)."""
        mouth = np.minimum(mouth_atlas() * mouth_light(portrait, self._source), 255)
        right = max(self.width, mouth.shape[1]) - self.width
        top = cv2.copyMakeBorder(portrait, 0, 2, 0, right, cv2.BORDER_REPLICATE)
        below = np.zeros((mouth.shape[0], top.shape[1], 3), np.uint8)
        below[:, : mouth.shape[1]] = mouth
        self._atlas = np.ascontiguousarray(np.concatenate([top, below]))

        eyes = [self._source[ring] for ring in _EYES]
        pixels = np.clip(np.rint(np.concatenate(eyes)), 0, (self.width - 1, self.height - 1)).astype(int)
        self._lash_colour = np.percentile(portrait[pixels[:, 1], pixels[:, 0]], 10, axis=0) * 0.6
        lips = self._source[_LIPS]
        self._own_teeth = shows_teeth(portrait, self._source)
        low, high = 1.0, MOUTH_SIZE - 2.0
        corners = np.array([[low, low], [high, low], [high, high], [low, high]])
        cavity = corners + np.array([0.0, self.height + 2.0])
        drawn = corners + np.array([MOUTH_SIZE, self.height + 2.0])
        parts = [*eyes, cavity, lips if self._own_teeth else drawn]
        first, fans = VERTICES + len(self._anchors), []
        for part in parts:
            fans += [[first, first + i, first + i + 1] for i in range(1, len(part) - 1)]
            first += len(part)
        return np.concatenate(parts), np.array(fans, np.int32)

    def _move(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All nodes of a frame, in the order of `_nodes`, and the head's motion as an affine map (3, 2)."""
        head = _affine_between(self._source[_STABLE], target[_STABLE])
        own = target[_OUTLINE] - _apply(head, self._source[_OUTLINE])
        carried = _apply(head, self._anchors) - self._anchors
        anchors = self._anchors + self._share * carried + self._drag @ own
        eyes = [eye_nodes(self._source[ring], target[ring]) for ring in _EYES]
        growth = float(np.sqrt(abs(np.linalg.det(head[:2]))))
        cavity, teeth = mouth_nodes(target[_LIPS], self._reach * growth)
        if self._own_teeth:
            lips = self._source[_LIPS]
            teeth = (lips - lips[15]) @ head[:2] + target[_LIPS[15]]
        return np.concatenate([target, anchors, *eyes, cavity, teeth]), head

    def frame(self, landmarks: np.ndarray) -> np.ndarray:
        """One frame, (H, W, 3) uint8 RGB, with the face at `landmarks` (468, 2 or 3) px.

        A third column is the depth, smaller nearer: it decides which cheek hides which on a turned head.
        """
        positions = _checked(landmarks)
        nodes, head = self._move(positions[:, :2])
        corners = nodes[self._triangles]
        maps, area = _inverse_maps(self._nodes[self._triangles], corners)
        index = np.zeros((self.height, self.width), np.uint16)
        fixed = np.rint(corners * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        area = np.where(self._thin, np.abs(area), area)
        for k in self._paint_order(area / _longest_edges(corners), positions):
            cv2.fillConvexPoly(index, fixed[k], k + 1, cv2.LINE_8, _SUBPIXEL_BITS)
        map_x, map_y = self._maps(index, maps, head)
        picture = cv2.remap(self._atlas, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        self._soften_rims(picture, index, nodes)
        self._smooth_outline(picture, nodes[_OUTLINE])
        for ring in _EYES:
            draw_lashes(picture, self._source[ring], nodes[ring], self._lash_colour)
        return picture

    def _paint_order(self, height: np.ndarray, positions: np.ndarray) -> list[int]:
        """Triangles that face the camera; skin from far to near where the depth is known."""
        order = np.flatnonzero(height > _LEAST_HEIGHT)
        if positions.shape[1] == 3:
            skin = order >= self._behind[1]
            depth = positions[self._triangles[order[skin]], 2].sum(1)
            order[skin] = order[skin][np.argsort(-depth, kind="stable")]
        return order.tolist()

    def _maps(self, index: np.ndarray, maps: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Atlas position (x, y) of each pixel of a frame; index 0 is where no triangle lies."""
        back = np.linalg.inv(np.c_[head, [0.0, 0.0, 1.0]])[:, :2]
        rest = back.T.ravel() if self._follow else np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        table = np.concatenate([rest[None], maps]).astype(np.float32)
        a, b, c, d, e, f = (np.take(np.ascontiguousarray(column), index) for column in table.T)
        map_x, map_y = a * self._x + b * self._y + c, d * self._x + e * self._y + f
        # A pixel on the rim of a thin triangle lies outside it, where its steep map would leap far away.
        left, top, right, bottom = (np.take(limit, index) for limit in self._limits)
        map_x, map_y = np.clip(map_x, left, right), np.clip(map_y, top, bottom)
        if self._follow:
            outside = index < self._behind[0]
            for positions, size in ((map_x, self.width), (map_y, self.height)):
                folded = np.abs(positions)
                folded = np.where(folded > size - 1, 2 * (size - 1) - folded, folded)
                np.copyto(positions, folded, where=outside)
        return map_x, map_y

    def _soften_rims(self, picture: np.ndarray, index: np.ndarray, nodes: np.ndarray) -> None:
        """Blur, by a pixel, the hard rims of lips and lids against what lies behind them."""
        first, last = self._behind
        for ring in (_LIPS, *_EYES):
            low, high = bounds(nodes[ring], 3)
            part, seen = (image[low[1] : high[1], low[0] : high[0]] for image in (picture, index))
            if seen.size == 0:
                continue
            behind = ((seen >= first) & (seen <= last)).astype(np.uint8)
            rim = cv2.morphologyEx(behind, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
            part[rim] = cv2.GaussianBlur(part, (3, 3), 0)[rim]

    def _smooth_outline(self, picture: np.ndarray, outline: np.ndarray) -> None:
        """Take single pixels off the face's outline, where a turning head presses triangles to less than a pixel."""
        band = np.zeros(picture.shape[:2], np.uint8)
        line = np.rint(outline * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.polylines(band, [line], True, 255, _OUTLINE_BAND, cv2.LINE_8, _SUBPIXEL_BITS)
        cv2.copyTo(cv2.medianBlur(picture, 3), band, picture)

    def __call__(self, landmarks: np.ndarray) -> np.ndarray:
        """Frames (n, H, W, 3) uint8 RGB for landmarks (n, 468, 2 or 3) px."""
        return np.stack([self.frame(positions) for positions in landmarks])


def _apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ affine[:2] + affine[2]


def _checked(landmarks: np.ndarray) -> np.ndarray:
    landmarks = np.asarray(landmarks, np.float64)
    if landmarks.ndim != 2 or landmarks.shape[0] != VERTICES or landmarks.shape[1] not in (2, 3):
        raise ValueError(f"landmarks must be (468, 2 or 3), not {landmarks.shape}")
    if not np.isfinite(landmarks).all():
        raise ValueError("landmarks must be finite")
    return landmarks
