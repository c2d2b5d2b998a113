"""Face models in the layouts of the published files, small and invented, so that they can be made anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import scipy.io

from tests.synthetic_face import synthetic_model

SCALE = 0.65  # file units in a distance between the eyes
FLIP = np.array([1.0, -1.0, -1.0])
KEYPOINTS = 68


def shapes(identities: int, expressions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (V, 3), identity (I, V, 3) and expression (E, V, 3) displacements, y up, z towards the camera; the first 68
    vertices are the iBUG landmarks of the synthetic face, and there are some more."""
    rng = np.random.default_rng(0)
    model = synthetic_model()
    points = model.landmarks68(model.mean).numpy()
    mean = np.concatenate([points, rng.normal(0, 1, (32, 3))]) * FLIP * SCALE
    identity = rng.normal(0, 0.03, (identities, *mean.shape))
    expression = rng.normal(0, 0.2, (expressions, *mean.shape))
    expression[:, [*range(27, 36), 36, 39, 42, 45]] = 0
    return mean, identity, expression


def triangles() -> np.ndarray:
    first = np.arange(98)
    return np.column_stack([first, first + 1, first + 2])


def write_bfm(folder: Path, identities: int = 80, expressions: int = 64) -> Path:
    mean, identity, expression = shapes(identities, expressions)
    content = {
        "meanshape": mean.reshape(1, -1),
        "idBase": identity.reshape(identities, -1).T,
        "exBase": expression.reshape(expressions, -1).T,
        "tri": triangles() + 1,
        "keypoints": np.arange(1, KEYPOINTS + 1)[None],
    }
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(folder / "BFM_model_front.mat", content)
    return folder / "BFM_model_front.mat"


def write_ict(folder: Path, identities: int = 5, expressions: int = 7) -> Path:
    mean, identity, expression = shapes(identities, expressions)
    folder.mkdir(parents=True, exist_ok=True)
    write_obj(folder / "generic_neutral_mesh.obj", mean)
    for number, moved in enumerate(identity):
        write_obj(folder / f"identity{number:03d}.obj", mean + moved)
    for number, moved in enumerate(expression):
        write_obj(folder / f"browDown_{number}.obj", mean + moved)
    indices = {"idx_to_landmark_verts": list(range(KEYPOINTS))}
    (folder / "vertex_indices.json").write_text(json.dumps(indices))
    return folder


def write_obj(path: Path, points: np.ndarray) -> None:
    lines = [f"v {x:.8f} {y:.8f} {z:.8f}" for x, y, z in points]
    lines += [f"f {a + 1}/1/1 {b + 1}/1/1 {c + 1}/1/1 {c + 1}/1/1" for a, b, c in triangles()[:4]]
    path.write_text("# a mesh\n" + "\n".join(lines) + "\n")
