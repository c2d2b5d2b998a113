"""A 3D morphable model of the face: shape = mean + identity · a + expression · e.

The linear model of Blanz and Vetter (1999), as the paper uses it through Deep3DFaceRecon. Some of its vertices, the
observed ones, are points that MediaPipe's face mesh finds in pictures: all of them for the model that is learned from
such meshes, 68 for the published models. Axes are a picture's: x right, y down, z away from the camera.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from dreamtalk_models import face_topology as topology

_ARRAYS = (
    *("mean", "identity_basis", "expression_basis", "expression_std", "vertex_weights", "triangles"),
    *("observed", "landmarks"),
)
SETS = ("mouth", "lips", "inner_lips", "left_eye", "right_eye", "brows", "contour", "stable", "landmarks68")


class FaceModelError(ValueError):
    """A file holds no face model; the text says which file, and why."""


class FaceModel:
    """The face model's arrays and what is computed from them.

    One model unit is the distance between the mean face's eye centres; the origin lies at the centroid of its stable
    vertices.

    Args:
        mean: (V, 3) mean neutral face.
        identity_basis: (V*3, I); coefficients have unit standard deviation over speakers. Columns that the corpus
            had too few speakers to fill are zero, and so are their coefficients.
        expression_basis: (V*3, D), ordered by variance; columns are orthogonal under `vertex_weights`, and zero beyond
            what the corpus had meshes to fill.
        expression_std: (D,) standard deviation (about zero, the neutral face) of each coefficient over the training
            corpus, zero for zero columns; their median is about 0.19, as in the published data, so that the
            diffusion's noise schedule means the same.
        vertex_weights: (V,) weight of each vertex in the sums of squares that fitting minimises, and that learned bases
            were learned with; lips and eyelids weigh more than the forehead, vertices that are not observed nothing.
        triangles: (F, 3) int64.
        observed: (K,) int64, the vertices that landmarks are compared with; None: all 468 of MediaPipe's mesh.
        landmarks: (K, 2) int64, the two MediaPipe landmarks whose mean each of them is; None with `observed`.
        sets: named vertices, int64: mouth (lips and the skin around them), lips, inner_lips, left_eye, right_eye,
            brows, contour, stable (which the skull carries, so that they define the pose), each (k,); landmarks68:
            (68, 2), the two vertices whose mean is that iBUG landmark. None: MediaPipe's.

    Raises:
        ValueError: shapes do not belong together.
    """

    def __init__(
        self,
        mean: Tensor,
        identity_basis: Tensor,
        expression_basis: Tensor,
        expression_std: Tensor,
        vertex_weights: Tensor,
        triangles: Tensor,
        observed: Tensor | None = None,
        landmarks: Tensor | None = None,
        sets: Mapping[str, Tensor] | None = None,
    ) -> None:
        rows = 3 * len(mean)
        if mean.ndim != 2 or mean.shape[1] != 3 or (observed is None and len(mean) != topology.VERTICES):
            raise ValueError(f"mean has shape {tuple(mean.shape)}, expected ({topology.VERTICES}, 3) or a landmark map")
        if identity_basis.ndim != 2 or len(identity_basis) != rows:
            raise ValueError(f"identity_basis has shape {tuple(identity_basis.shape)}, expected ({rows}, I)")
        if expression_basis.shape != (rows, len(expression_std)):
            raise ValueError(
                f"expression_basis has shape {tuple(expression_basis.shape)}, expected ({rows}, {len(expression_std)})"
            )
        if vertex_weights.shape != (len(mean),) or triangles.ndim != 2 or triangles.shape[1] != 3:
            raise ValueError("vertex_weights must be (V,) and triangles (F, 3)")
        if observed is None:
            observed = torch.arange(topology.VERTICES, device=mean.device)
            landmarks = observed[:, None].expand(-1, 2).contiguous()
        if landmarks is None or landmarks.shape != (len(observed), 2):
            raise ValueError("landmarks must be (K, 2), two for each observed vertex")
        self.mean, self.identity_basis, self.expression_basis = mean, identity_basis, expression_basis
        self.expression_std, self.vertex_weights, self.triangles = expression_std, vertex_weights, triangles
        self.observed, self.landmarks = observed, landmarks
        self.sets = _mediapipe_sets(triangles) if sets is None else dict(sets)
        if set(self.sets) != set(SETS):
            raise ValueError(f"the named vertices are {sorted(self.sets)}, expected {sorted(SETS)}")

    @property
    def identity_dim(self) -> int:
        return self.identity_basis.shape[1]

    @property
    def expression_dim(self) -> int:
        return self.expression_basis.shape[1]

    @cached_property
    def is_mediapipe(self) -> bool:
        """Whether the model's vertices are MediaPipe's, one by one: what the mesh-warp renderer needs."""
        every = torch.arange(topology.VERTICES, device=self.mean.device)[:, None].expand(-1, 2)
        return len(self.mean) == topology.VERTICES and torch.equal(self.landmarks, every)

    def observe(self, landmarks: Tensor) -> Tensor:
        """Where the observed vertices were seen, (..., K, c), of MediaPipe's landmarks (..., 468 or 478, c)."""
        return landmarks[..., : len(self.mean), :] if self.is_mediapipe else landmarks[..., self.landmarks, :].mean(-2)

    @cached_property
    def observed_part(self) -> FaceModel:
        """The same model of the observed vertices alone, without triangles: what landmarks are fitted with."""
        if self.is_mediapipe:
            return self
        place = torch.arange(len(self.observed), device=self.mean.device)
        sets = {name: place[torch.isin(self.observed, vertices)] for name, vertices in self.sets.items()}
        return FaceModel(
            mean=self.mean[self.observed],
            identity_basis=self._rows(self.identity_basis, self.observed),
            expression_basis=self._rows(self.expression_basis, self.observed),
            expression_std=self.expression_std,
            vertex_weights=self.vertex_weights[self.observed],
            triangles=self.triangles[:0],
            observed=place,
            landmarks=self.landmarks,
            sets=sets | {"landmarks68": place[:0, None].expand(-1, 2)},
        )

    def vertices(self, identity: Tensor, expression: Tensor) -> Tensor:
        """The face's shape in model units, before pose.

        Args:
            identity: (..., I), broadcast against expression.
            expression: (..., D).

        Returns:
            (..., V, 3).
        """
        offset = identity @ self.identity_basis.T + expression @ self.expression_basis.T
        return self.mean + offset.unflatten(-1, (-1, 3))

    def mouth_vertices(self, expression: Tensor) -> Tensor:
        """The mouth region of the mean person under an expression: the lip expert's input (paper, section III-C).

        Args:
            expression: (..., D).

        Returns:
            (..., Vm*3) in model units, relative to the centroid of the mean face's mouth.
        """
        basis, mean = self._mouth
        return mean + expression @ basis.T

    def project(self, identity: Tensor, expression: Tensor, angles: Tensor, translation: Tensor) -> Tensor:
        """The face in the picture, by weak perspective; see :func:`pose`.

        Args:
            identity: (..., I).
            expression: (..., D).
            angles: (..., 3) radians.
            translation: (..., 3): tx and ty in px, and the logarithm of the scale in px per model unit.

        Returns:
            (..., V, 3) px; z in the same scale, 0 at the depth of the model's origin.
        """
        return pose(self.vertices(identity, expression), angles, translation)

    def landmarks68(self, vertices: Tensor) -> Tensor:
        """The iBUG landmarks of meshes.

        Args:
            vertices: (..., V or more, c) in any unit; where the model is MediaPipe's, its 478 points do as well.

        Returns:
            (..., 68, c).
        """
        return vertices[..., self.sets["landmarks68"], :].mean(-2)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file that :meth:`save` writes: tells which model coefficients belong to."""
        file = io.BytesIO()
        self.save(file)
        return hashlib.sha256(file.getbuffer()).hexdigest()

    def save(self, path: Path | BinaryIO) -> None:
        """Write an .npz file that holds no time: equal models give equal bytes."""
        arrays = {name: getattr(self, name) for name in _ARRAYS} | {f"set_{name}": self.sets[name] for name in SETS}
        np.savez(path, **{name: array.cpu().numpy() for name, array in arrays.items()})

    @classmethod
    def load(cls, path: Path) -> FaceModel:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: no such file.
            FaceModelError: the file is damaged, or another one.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                sets = {name: torch.from_numpy(file[f"set_{name}"]) for name in SETS}
                return cls(**{name: torch.from_numpy(file[name]) for name in _ARRAYS}, sets=sets)
        except FileNotFoundError:
            raise
        except Exception as error:  # foreign bytes can make NumPy's reader fail in any way
            raise FaceModelError(f"{path} is not a face model: {error}") from error

    def to(self, device: torch.device | str) -> FaceModel:
        sets = {name: vertices.to(device) for name, vertices in self.sets.items()}
        return FaceModel(**{name: getattr(self, name).to(device) for name in _ARRAYS}, sets=sets)

    @cached_property
    def _mouth(self) -> tuple[Tensor, Tensor]:
        index = self.sets["mouth"]
        basis = self._rows(self.expression_basis, index)
        shape = self.mean[index]
        return basis, (shape - shape.mean(0)).flatten()

    @staticmethod
    def _rows(basis: Tensor, vertices: Tensor) -> Tensor:
        """The rows (k*3, d) of a basis (V*3, d) that move some vertices (k,)."""
        return basis.unflatten(0, (-1, 3))[vertices].flatten(0, 1)


def _mediapipe_sets(triangles: Tensor) -> dict[str, Tensor]:
    lips = sorted({*topology.OUTER_LIPS, *topology.INNER_LIPS})
    named: dict[str, Iterable] = {
        "mouth": _ring(triangles, _ring(triangles, lips)),
        "lips": lips,
        "inner_lips": topology.INNER_LIPS,
        "left_eye": topology.LEFT_EYE,
        "right_eye": topology.RIGHT_EYE,
        "brows": (*topology.RIGHT_BROW, *topology.LEFT_BROW),
        "contour": topology.CONTOUR,
        "stable": topology.STABLE,
        "landmarks68": topology.LANDMARKS68,
    }
    return {name: torch.tensor(list(ids), device=triangles.device) for name, ids in named.items()}


def _ring(triangles: Tensor, vertices: Iterable[int]) -> list[int]:
    """`vertices` and all that share a triangle with one of them."""
    inside = torch.isin(triangles, torch.tensor(list(vertices), device=triangles.device)).any(1)
    return sorted({*vertices, *triangles[inside].flatten().tolist()})


def pose(vertices: Tensor, angles: Tensor, translation: Tensor) -> Tensor:
    """Turn, scale and shift: px = exp(translation_2) · R(angles) v + (translation_0, translation_1, 0).

    Args:
        vertices: (..., V, 3) in model units.
        angles: (..., 3), see :func:`rotation_matrix`.
        translation: (..., 3): px, px, logarithm of px per model unit.

    Returns:
        (..., V, 3) px.
    """
    turned = vertices @ rotation_matrix(angles).mT * translation[..., 2, None, None].exp()
    return turned + torch.nn.functional.pad(translation[..., :2], (0, 1))[..., None, :]


def rotation_matrix(angles: Tensor) -> Tensor:
    """R = Rz(roll) Ry(yaw) Rx(pitch) of angles (..., 3) = (pitch, yaw, roll) in radians; (..., 3, 3)."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = (
        (cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx),
        (sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx),
        (-sy, cy * sx, cy * cx),
    )
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


def rotation_angles(rotation: Tensor) -> Tensor:
    """(pitch, yaw, roll) of rotation matrices (..., 3, 3); the inverse of :func:`rotation_matrix`, yaw within ±π/2."""
    return torch.stack(
        [
            torch.atan2(rotation[..., 2, 1], rotation[..., 2, 2]),
            torch.asin((-rotation[..., 2, 0]).clamp(-1, 1)),
            torch.atan2(rotation[..., 1, 0], rotation[..., 0, 0]),
        ],
        -1,
    )


def lower_face(model: FaceModel) -> list[int]:
    """Expression coefficients that the lower-face decoder predicts: those that move the mouth more than they move all
    else, in shares of the model's weighted squared displacement; the others are the upper face's.

    Never all and never none, so that both decoders have work.
    """
    weighted = model.expression_basis.unflatten(0, (-1, 3)).square().sum(1) * model.vertex_weights[:, None]
    share = weighted[model.sets["mouth"]].sum(0) / weighted.sum(0).clamp_min(1e-12)
    order = share.argsort(descending=True, stable=True).tolist()
    count = min(max(int((share > 0.5).sum()), 1), len(order) - 1)
    return sorted(order[:count])
