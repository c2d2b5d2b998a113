"""Published face models in the files that their users have: the Basel Face Model and ICT-FaceKit.

Both are brought into the house's axes (x right, y down, z away) and unit (the distance between the eyes' centres), and
are observed at the 68 iBUG landmarks, which MediaPipe's mesh has as well (face_topology.LANDMARKS68).
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.io
import torch
from scipy.io.matlab import MatReadError
from torch import Tensor

from dreamtalk_models import face_topology as topology
from dreamtalk_models.face_model import FaceModel
from stages.params import FaceModelParams

BFM_FILE = "BFM_model_front.mat"
ICT_NEUTRAL, ICT_INDICES, ICT_LANDMARKS = "generic_neutral_mesh.obj", "vertex_indices.json", "idx_to_landmark_verts"

TO_PICTURE = np.array([1.0, -1.0, -1.0])
"""Both models stand upright in x right, y up, z towards the camera."""

BFM_EXPRESSION_STD = 0.19
"""The median of what the published coefficients have in their clips; the file's own scale is the scanned people's."""
ICT_EXPRESSION_STD = 0.25
"""A blendshape's weight lies between 0 and 1 and is seldom large: our estimate."""

JAW, RIGHT_BROW, LEFT_BROW, NOSE = range(17), range(17, 22), range(22, 27), range(27, 36)
RIGHT_EYE, LEFT_EYE, LIPS, INNER_LIPS = range(36, 42), range(42, 48), range(48, 68), range(60, 68)
STABLE = (*NOSE, 36, 39, 42, 45)
CHIN = range(5, 12)
JAW_WEIGHT = 0.1
"""The outline is where the face turns away from the camera, another place of the skin in every pose."""


class FaceFileError(ValueError):
    """A face model's file is missing or is none; the text names it and says what it should be."""


@dataclass(frozen=True)
class Shapes:
    """A face model as its file has it: mean (V, 3), identity (I, V, 3) and expression (E, V, 3) displacements,
    triangles (F, 3) and the 68 landmarks' vertices (68,)."""

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    triangles: np.ndarray
    landmarks68: np.ndarray


def load(settings: FaceModelParams) -> FaceModel:
    """The model of kind `bfm` or `ict` at `settings.path`.

    Both bases get the dimensions of `settings`: modes beyond are left out, missing ones are zero, and so are their
    coefficients (ICT-FaceKit's 53 expressions stand in the first of 64 dimensions).

    Raises:
        FaceFileError: there is no such model, or ICT-FaceKit's expressions, which have no order, do not all fit.
    """
    path = Path(settings.path)
    if settings.kind == "bfm":
        shapes, std = read_bfm(path / BFM_FILE if path.is_dir() else path), BFM_EXPRESSION_STD
    else:
        shapes, std = read_ict(path), ICT_EXPRESSION_STD
        if len(shapes.expression) > settings.expression_dim:
            raise FaceFileError(
                f"{path} has {len(shapes.expression)} expressions: face_model.expression_dim must not be less"
            )
    return face_model(shapes, std, settings)


def open_model(path: Path, settings: FaceModelParams) -> FaceModel:
    """Any face model that a user names: a face_model.npz of ours, a BFM_model_front.mat, or ICT-FaceKit's folder, which
    get 64 expressions, as the published coefficients have.

    Raises:
        FaceFileError: it is none of these.
    """
    if path.suffix.lower() == ".npz":
        try:
            return FaceModel.load(path)
        except (FileNotFoundError, ValueError) as error:
            raise FaceFileError(f"{path}: no such file" if isinstance(error, FileNotFoundError) else error) from error
    if not path.is_dir() and path.suffix.lower() != ".mat":
        raise FaceFileError(f"{path} is no face model: give a face_model.npz, {BFM_FILE} or ICT-FaceKit's folder")
    kind = "bfm" if path.suffix.lower() == ".mat" or (path / BFM_FILE).is_file() else "ict"
    return load(settings.model_copy(update={"kind": kind, "path": str(path), "expression_dim": 64}))


def read_bfm(path: Path) -> Shapes:
    """Deep3DFaceRecon's cut of the Basel Face Model 2009: meanshape (3 V), idBase (3 V, 80), exBase (3 V, 64), tri
    and keypoints counted from 1; bases in standard deviations.

    Raises:
        FaceFileError: missing, damaged or another file.
    """
    if not path.is_file():
        raise FaceFileError(
            f"{path} is missing: put Deep3DFaceRecon's {BFM_FILE} there (its README says how to get it)"
        )
    try:
        file = scipy.io.loadmat(path)
        mean = np.asarray(file["meanshape"], np.float64).reshape(-1, 3)
        bases = [np.asarray(file[name], np.float64).T.reshape(-1, *mean.shape) for name in ("idBase", "exBase")]
        triangles, keypoints = (np.asarray(file[name]).astype(np.int64) - 1 for name in ("tri", "keypoints"))
        return checked(Shapes(mean, *bases, triangles.reshape(-1, 3), keypoints.ravel()))
    except (KeyError, ValueError, TypeError, OSError, NotImplementedError, MatReadError, zlib.error) as error:
        raise FaceFileError(f"{path} is not a {BFM_FILE}: {error}") from error


def read_ict(folder: Path) -> Shapes:
    """ICT-FaceKit's FaceXModel: a neutral mesh, identity000.obj and on, an .obj for every expression (in order of
    name), and vertex_indices.json, which has the landmarks.

    Raises:
        FaceFileError: missing or damaged files.
    """
    for name in (ICT_NEUTRAL, ICT_INDICES):
        if not (folder / name).is_file():
            raise FaceFileError(f"{folder / name} is missing: give the folder of ICT-FaceKit's FaceXModel")
    mean, triangles = read_obj(folder / ICT_NEUTRAL)
    try:
        landmarks = np.array(json.loads((folder / ICT_INDICES).read_text(encoding="utf-8"))[ICT_LANDMARKS], np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise FaceFileError(f"{folder / ICT_INDICES} has no list {ICT_LANDMARKS}: {error}") from error
    paths = sorted(path for path in folder.glob("*.obj") if path.name != ICT_NEUTRAL)
    moved: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for path in paths:
        points, _ = read_obj(path)
        if points.shape != mean.shape:
            raise FaceFileError(f"{path} has {len(points)} vertices, {ICT_NEUTRAL} has {len(mean)}")
        moved[path.stem.startswith("identity")].append(points - mean)
    if not moved[True] or not moved[False]:
        raise FaceFileError(f"{folder} lacks identity*.obj or expressions: give all of ICT-FaceKit's FaceXModel")
    try:
        return checked(Shapes(mean, np.stack(moved[True]), np.stack(moved[False]), triangles, landmarks))
    except ValueError as error:
        raise FaceFileError(f"{folder} is not ICT-FaceKit's FaceXModel: {error}") from error


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and triangles (F, 3) of a Wavefront file; larger faces are cut into fans.

    Raises:
        FaceFileError: no vertices, or a line that is no number.
    """
    vertices, faces = [], []
    try:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            kind, *fields = line.split() or [""]
            if kind == "v":
                vertices.append([float(field) for field in fields[:3]])
            elif kind == "f":
                corners = [int(field.split("/")[0]) - 1 for field in fields]
                faces += [(corners[0], *pair) for pair in pairwise(corners[1:])]
        points = np.array(vertices, np.float64).reshape(-1, 3)
    except ValueError as error:
        raise FaceFileError(f"{path} is not a Wavefront mesh: {error}") from error
    if not len(points):
        raise FaceFileError(f"{path} is not a Wavefront mesh: it has no vertices")
    return points, np.array(faces, np.int64).reshape(-1, 3)


def checked(shapes: Shapes) -> Shapes:
    """Raises:
    ValueError: not 68 landmarks, indices outside the mesh, or numbers that are not finite.
    """
    if shapes.landmarks68.shape != (68,):
        raise ValueError(f"it has landmarks of shape {shapes.landmarks68.shape}, expected 68")
    for name in ("landmarks68", "triangles"):
        indices = getattr(shapes, name)
        if indices.size and (indices.min() < 0 or indices.max() >= len(shapes.mean)):
            raise ValueError(f"{name} points outside the mesh's {len(shapes.mean)} vertices")
    if not all(np.isfinite(getattr(shapes, name)).all() for name in ("mean", "identity", "expression")):
        raise ValueError("it has values that are not finite")
    return shapes


def face_model(shapes: Shapes, expression_std: float, settings: FaceModelParams) -> FaceModel:
    """The model in the house's axes and unit, observed at its 68 landmarks."""
    points = shapes.landmarks68
    mean = shapes.mean * TO_PICTURE
    unit = np.linalg.norm(mean[points[LEFT_EYE]].mean(0) - mean[points[RIGHT_EYE]].mean(0))
    mean = (mean - mean[points[list(STABLE)]].mean(0)) / unit
    identity, expression = (_basis(part * TO_PICTURE / unit) for part in (shapes.identity, shapes.expression))
    weights = torch.zeros(len(mean))
    weights[points] = torch.from_numpy(_landmark_weights(settings.detail_weight))
    used = torch.arange(settings.expression_dim) < expression.shape[1]
    return FaceModel(
        mean=torch.from_numpy(mean).float(),
        identity_basis=_to_width(identity, settings.identity_dim),
        expression_basis=_to_width(expression, settings.expression_dim),
        expression_std=expression_std * used,
        vertex_weights=weights,
        triangles=torch.from_numpy(shapes.triangles),
        observed=torch.from_numpy(points),
        landmarks=torch.tensor(topology.LANDMARKS68),
        sets=keypoint_sets(torch.from_numpy(points)),
    )


def keypoint_sets(points: Tensor) -> dict[str, Tensor]:
    """The named vertices of a model of which only the 68 landmarks (68,) are known by name."""
    places = {
        "mouth": (*LIPS, *CHIN, *range(31, 36)),
        "lips": LIPS,
        "inner_lips": INNER_LIPS,
        "left_eye": LEFT_EYE,
        "right_eye": RIGHT_EYE,
        "brows": (*RIGHT_BROW, *LEFT_BROW),
        "contour": JAW,
        "stable": STABLE,
    }
    return {name: points[list(place)] for name, place in places.items()} | {"landmarks68": points[:, None].repeat(1, 2)}


def _landmark_weights(detail: float) -> np.ndarray:
    weights = np.ones(68, np.float32)
    weights[[*RIGHT_EYE, *LEFT_EYE, *LIPS]] = detail
    weights[list(JAW)] = JAW_WEIGHT
    return weights


def _basis(displacements: np.ndarray) -> Tensor:
    return torch.from_numpy(displacements.reshape(len(displacements), -1).T).float()


def _to_width(basis: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(basis[:, :width], (0, max(0, width - basis.shape[1])))
