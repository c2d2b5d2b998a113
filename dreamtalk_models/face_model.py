"""A 3D morphable model of the face: shape = mean + identity · a + expression · e, over MediaPipe's 468 vertices.

The linear model of Blanz and Vetter (1999), as the paper uses it through Deep3DFaceRecon, on a mesh whose vertices a
landmark network finds in pictures. Axes are a picture's: x right, y down, z away from the camera.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dreamtalk_models import face_topology as topology

_ARRAYS = ("mean", "identity_basis", "expression_basis", "expression_std", "vertex_weights", "triangles")


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
        vertex_weights: (V,) weight of each vertex in the sums of squares that the bases were learned with and that
            fitting minimises; lips and eyelids weigh more than the forehead.
        triangles: (F, 3) int64.

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
    ) -> None:
        rows = 3 * len(mean)
        if mean.shape != (topology.VERTICES, 3):
            raise ValueError(f"mean has shape {tuple(mean.shape)}, expected ({topology.VERTICES}, 3)")
        if identity_basis.ndim != 2 or len(identity_basis) != rows:
            raise ValueError(f"identity_basis has shape {tuple(identity_basis.shape)}, expected ({rows}, I)")
        if expression_basis.shape != (rows, len(expression_std)):
            raise ValueError(
                f"expression_basis has shape {tuple(expression_basis.shape)}, expected ({rows}, {len(expression_std)})"
            )
        if vertex_weights.shape != (len(mean),) or triangles.ndim != 2 or triangles.shape[1] != 3:
            raise ValueError("vertex_weights must be (V,) and triangles (F, 3)")
        self.mean, self.identity_basis, self.expression_basis = mean, identity_basis, expression_basis
        self.expression_std, self.vertex_weights, self.triangles = expression_std, vertex_weights, triangles

    @property
    def identity_dim(self) -> int:
        return self.identity_basis.shape[1]

    @property
    def expression_dim(self) -> int:
        return self.expression_basis.shape[1]

    @cached_property
    def sets(self) -> dict[str, Tensor]:
        """Named vertices as int64 indices.

        mouth (lips and the ring of skin around them), lips, inner_lips, left_eye, right_eye, brows, contour, stable:
        each (k,); landmarks68: (68, 2), the two vertices whose mean is that iBUG landmark.
        """
        lips = sorted({*topology.OUTER_LIPS, *topology.INNER_LIPS})
        named: dict[str, Iterable] = {
            "mouth": self._ring(self._ring(lips)),
            "lips": lips,
            "inner_lips": topology.INNER_LIPS,
            "left_eye": topology.LEFT_EYE,
            "right_eye": topology.RIGHT_EYE,
            "brows": (*topology.RIGHT_BROW, *topology.LEFT_BROW),
            "contour": topology.CONTOUR,
            "stable": topology.STABLE,
            "landmarks68": topology.LANDMARKS68,
        }
        return {name: torch.tensor(list(ids), device=self.mean.device) for name, ids in named.items()}

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
            vertices: (..., V or more, c) in any unit; MediaPipe's 478 points do as well.

        Returns:
            (..., 68, c).
        """
        return vertices[..., self.sets["landmarks68"], :].mean(-2)

    def save(self, path: Path) -> None:
        """Write an .npz file that holds no time: equal models give equal bytes."""
        np.savez(path, **{name: getattr(self, name).cpu().numpy() for name in _ARRAYS})

    @classmethod
    def load(cls, path: Path) -> FaceModel:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: the file is not a face model.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(**{name: torch.from_numpy(file[name]) for name in _ARRAYS})
        except FileNotFoundError:
            raise
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{path} is not a face model: {error}") from error

    def to(self, device: torch.device | str) -> FaceModel:
        return FaceModel(**{name: getattr(self, name).to(device) for name in _ARRAYS})

    @cached_property
    def _mouth(self) -> tuple[Tensor, Tensor]:
        index = self.sets["mouth"]
        basis = self.expression_basis.unflatten(0, (-1, 3))[index].flatten(0, 1)
        shape = self.mean[index]
        return basis, (shape - shape.mean(0)).flatten()

    def _ring(self, vertices: Iterable[int]) -> list[int]:
        """`vertices` and all that share a triangle with one of them."""
        inside = torch.isin(self.triangles, torch.tensor(list(vertices), device=self.triangles.device)).any(1)
        return sorted({*vertices, *self.triangles[inside].flatten().tolist()})


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
