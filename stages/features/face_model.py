"""Stage `face_model`: the 3D morphable model, learned from the training split's own meshes or read from a file.

Learned: what differs between speakers becomes the identity basis, what differs between frames of one speaker the
expression basis; both by principal component analysis of meshes brought into one pose by the vertices that the skull
carries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from torch import Tensor

from dreamtalk_models import face_topology as topology
from dreamtalk_models.closures import MOUTH
from dreamtalk_models.face_model import FaceModel, lower_face
from dreamtalk_models.fitting import procrustes, unpose
from stages import params, tables, tracking
from stages.columns import Columns
from stages.features import face_files
from stages.files import atomic_path, fresh_dir
from stages.program import one_line_errors

__all__ = ["Meshes", "explained_variance", "learn", "lower_face", "sample_meshes"]

LANDMARKS = Path("data/landmarks")
SPLIT = Path("data/split.parquet")
OUT = Path("models/face_model")

PUBLISHED_STD = 0.19
"""Median over dimensions of the standard deviation of the published expression coefficients."""

ALIGNMENTS = 3
TINY = 1e-6
FOREHEAD, CHIN = 10, 152
LOPSIDED = 0.1  # of the distance between the eyes
MODES_SHOWN = 8
MOST_MESHES = 50_000  # take 3 GB to learn from; the demo has 11,000, the study 40,000


@dataclass(frozen=True)
class Meshes:
    """Sampled frames: points (m, V, 3) float64 px, and for each the speaker and whether the clip is a neutral one."""

    points: Tensor
    speaker: np.ndarray
    neutral: np.ndarray


def sample_meshes(landmarks: Columns, split: pd.DataFrame, frames_per_clip: int) -> Meshes:
    """Evenly spread frames of the clips in `split`, MOST_MESHES of them at most.

    Raises:
        ValueError: `split` is empty.
    """
    if split.empty:
        raise ValueError("no clips to learn the face model from: data/split.parquet has no clip of split train")
    rows = list(split.sort_values("clip_id").itertuples())
    lengths = [len(landmarks[row.clip_id]["landmarks"]) for row in rows]
    kept = _thinned([min(length, frames_per_clip) for length in lengths], MOST_MESHES)
    points, speaker, neutral = [], [], []
    for row, length, own in zip(rows, lengths, kept, strict=True):
        index = np.linspace(0, length - 1, min(length, frames_per_clip)).round().astype(int)[own]
        points.append(clip_meshes(landmarks[row.clip_id]["landmarks"])[index])
        speaker += [row.speaker] * len(index)
        neutral += [row.emotion == "neutral"] * len(index)
    return Meshes(torch.from_numpy(np.concatenate(points)).double(), np.array(speaker), np.array(neutral))


def _thinned(counts: list[int], most: int) -> list[np.ndarray]:
    """Which of counts[i] samples of each clip are kept, so that no more than `most` are: all, or one at random of each
    of `most` equal stretches. A constant step would meet all clips at the same moment of their sentences."""
    ends = np.cumsum(counts)
    if ends[-1] <= most:
        return [np.arange(count) for count in counts]
    within = np.random.default_rng(0).random(most)
    kept = np.unique(((np.arange(most) + within) * (ends[-1] / most)).astype(int))
    parts = np.split(kept, np.searchsorted(kept, ends[:-1]))
    return [part - start for part, start in zip(parts, ends - counts, strict=True)]


def clip_meshes(landmarks: np.ndarray) -> np.ndarray:
    """The mesh's vertices (n, V, 3) of a clip's landmarks as stored, (n, 478 * 3)."""
    return landmarks.reshape(len(landmarks), -1, 3)[:, : topology.VERTICES]


def learn(meshes: Meshes, settings: params.FaceModelParams, triangles: list[tuple[int, int, int]]) -> FaceModel:
    """The face model of some meshes.

    Each speaker's neutral shape is that of the speaker's neutral clips, or of all where there are none, with the lips
    closed: see :func:`lips_closed`. So how far somebody opens the mouth in speech is expression, and one expression
    closes everybody's lips. Expression modes are taken about that shape, not about the mean expression: zero
    coefficients are a neutral face.
    All that moved counts a second time as in a mirror, so that every mode of expression is symmetric or the contrary of
    its mirror image, whichever side of the corpus' faces moved more. The coefficients' standard deviations are the
    square roots of the modes', brought to the published median: half way between unit variance, which would make the
    weakest modes as loud as the jaw, and unit modes, which would put the jaw far above the diffusion's unit noise.
    """
    weights = vertex_weights(settings.detail_weight)
    neutral, deviation = align(meshes)
    mean = neutral.mean(0)
    mirror = mirror_image(mean)
    if mirror is not None:
        deviation = torch.cat([deviation, mirrored(deviation, mirror)])
    identity = principal_components(neutral - mean, weights, settings.identity_dim, count=len(neutral) - 1)
    identity_std = coefficients(neutral - mean, identity, weights).square().mean(0).sqrt()
    expression = principal_components(deviation, weights, settings.expression_dim, count=len(deviation))
    unit_std = coefficients(deviation, expression, weights).square().mean(0).sqrt()
    used = unit_std > TINY * unit_std.max()
    std = PUBLISHED_STD * (unit_std / unit_std[used].median()).sqrt() * used
    return FaceModel(
        mean=mean.float(),
        identity_basis=(identity * identity_std).float(),
        expression_basis=(expression * unit_std / std.clamp_min(TINY)).float(),
        expression_std=std.float(),
        vertex_weights=weights.float(),
        triangles=torch.tensor(triangles),
    )


def mirror_image(shape: Tensor) -> np.ndarray | None:
    """(V,) index of each vertex' mirror image in an upright shape (V, 3): the assignment that brings the reflected
    shape nearest to the shape. None if they are further apart than two sides of a face are: LOPSIDED on average."""
    points = shape.numpy()
    apart = cdist(points * (-1, 1, 1), points)
    here, there = linear_sum_assignment(apart**2)
    return there if apart[here, there].mean() < LOPSIDED else None


def mirrored(shapes: Tensor, mirror: np.ndarray) -> Tensor:
    """Shapes or displacements (m, V, 3) as in a mirror before the face."""
    return shapes[:, mirror] * shapes.new_tensor([-1.0, 1.0, 1.0])


def align(meshes: Meshes) -> tuple[Tensor, Tensor]:
    """Generalised Procrustes analysis on the stable vertices.

    Returns:
        Each speaker's neutral shape (speakers, V, 3), in order of name, and each mesh's displacement from its
        speaker's (m, V, 3); in model units and upright: see :func:`upright`.
    """
    stable = list(topology.STABLE)
    who = np.unique(meshes.speaker, return_inverse=True)[1]
    reference = upright(meshes.points[0])
    for _ in range(ALIGNMENTS):
        rigid = procrustes(reference[stable].expand(len(who), -1, -1), meshes.points[:, stable])
        aligned = unpose(meshes.points, rigid)
        neutral = torch.stack([_neutral(aligned, meshes.neutral, who == speaker) for speaker in range(who.max() + 1)])
        reference = upright(neutral.mean(0))
    to_upright = procrustes(reference, neutral.mean(0))
    neutral, aligned = unpose(neutral, to_upright), unpose(aligned, to_upright)
    return neutral, aligned - neutral[who]


def upright(shape: Tensor) -> Tensor:
    """A shape (V, 3) in any unit, looking straight ahead: the eyes' centres on a line along x at distance 1, brow and
    chin in one plane with y, the stable vertices' centroid at 0."""
    right_eye, left_eye = (shape[list(eye)].mean(0) for eye in (topology.RIGHT_EYE, topology.LEFT_EYE))
    x = left_eye - right_eye
    unit = x.norm()
    x = x / unit
    y = shape[CHIN] - shape[FOREHEAD]
    y = y - (y @ x) * x
    y = y / y.norm()
    centre = shape[list(topology.STABLE)].mean(0)
    return (shape - centre) @ torch.stack([x, y, torch.linalg.cross(x, y)], 1) / unit


def principal_components(shapes: Tensor, weights: Tensor, dim: int, count: int) -> Tensor:
    """Directions of greatest variance about zero.

    Args:
        shapes: (m, V, 3).
        weights: (V,), of the scalar product in which directions are orthonormal.
        dim: directions wanted.
        count: directions that the data can have; those beyond are zero.

    Returns:
        (V*3, dim), in descending order of variance; each one's largest element is positive.
    """
    root = weights.sqrt().repeat_interleave(3)
    scaled = shapes.flatten(1) * root
    if len(scaled) > scaled.shape[1]:
        _, vectors = torch.linalg.eigh(scaled.T @ scaled)
        directions = vectors.flip(1)
    else:
        directions = torch.linalg.svd(scaled, full_matrices=False)[2].T
    directions = directions[:, : min(dim, count)]
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    directions = directions * largest.sign() / root[:, None]
    return torch.nn.functional.pad(directions, (0, dim - directions.shape[1]))


def vertex_weights(detail_weight: float) -> Tensor:
    """(V,) float64: `detail_weight` for lips and eyelids, which are small and mean much, 1 elsewhere."""
    weights = torch.ones(topology.VERTICES, dtype=torch.float64)
    detail = (*topology.OUTER_LIPS, *topology.INNER_LIPS, *topology.LEFT_EYE, *topology.RIGHT_EYE)
    weights[list(detail)] = detail_weight
    return weights


def coefficients(shapes: Tensor, basis: Tensor, weights: Tensor) -> Tensor:
    """(m, k) coefficients of shapes (m, V, 3) under a basis (V*3, k) that is orthogonal under `weights`."""
    weighted = basis * weights.repeat_interleave(3)[:, None]
    return shapes.flatten(1) @ weighted / (basis * weighted).sum(0).clamp_min(1e-12)


def explained_variance(model: FaceModel, meshes: Meshes) -> dict[str, float]:
    """Shares of the squared displacement from the speakers' neutral shapes that the expression basis explains: over
    all vertices (under the model's weights), over the lips and over the eyelids."""
    _, deviation = align(meshes)
    basis = model.expression_basis.double()
    e = coefficients(deviation, basis, model.vertex_weights.double())
    rest = (deviation - (e @ basis.T).view_as(deviation)).square().sum(-1).sum(0)
    total = deviation.square().sum(-1).sum(0)
    eyes = torch.cat([model.sets["left_eye"], model.sets["right_eye"]])
    every = torch.arange(len(total))
    places = {"all": every, "lips": model.sets["lips"], "eyelids": eyes}
    return {name: float(1 - rest[index].sum() / total[index].sum()) for name, index in places.items()}


def _neutral(aligned: Tensor, is_neutral: np.ndarray, of_speaker: np.ndarray) -> Tensor:
    chosen = of_speaker & is_neutral
    return lips_closed(aligned[torch.from_numpy(chosen if chosen.any() else of_speaker)])


def lips_closed(shapes: Tensor) -> Tensor:
    """The shape (V, 3) that some upright shapes (m, V, 3) of one speaker tend to where the lips meet: each coordinate's
    regression line over the opening between the lips, at the least opening, from zero on, that any of them has.
    """
    upper, lower = (list(edge) for edge in zip(*MOUTH.pairs, strict=True))
    inner = shapes[:, np.array(topology.LANDMARKS68), 1].mean(2)
    opening = (inner[:, lower] - inner[:, upper]).mean(1)
    varied = opening - opening.mean()
    slope = torch.einsum("m,mvc->vc", varied, shapes) / varied.square().sum().clamp_min(1e-12)
    return shapes.mean(0) + (opening.clamp(min=0).min() - opening.mean()) * slope


def figures(model: FaceModel) -> dict[str, Figure]:
    """The first modes of expression and identity, at two and a half standard deviations either side of the mean."""
    moved = {
        "expression_modes": lambda mode, amount: (0.0, amount * model.expression_std[mode]),
        "identity_modes": lambda mode, amount: (amount, 0.0),
    }
    dims = {"expression_modes": model.expression_dim, "identity_modes": model.identity_dim}
    return {name: _modes_figure(model, min(dims[name], MODES_SHOWN), move) for name, move in moved.items()}


def _modes_figure(model: FaceModel, count: int, move: Callable[[int, float], tuple[float, float]]) -> Figure:
    figure, axes = plt.subplots(2, count, figsize=(1.6 * count, 4), squeeze=False)
    for row, amount in enumerate((-2.5, 2.5)):
        for mode in range(count):
            identity, expression = torch.zeros(model.identity_dim), torch.zeros(model.expression_dim)
            at_identity, at_expression = move(mode, amount)
            identity[min(mode, model.identity_dim - 1)] = at_identity
            expression[min(mode, model.expression_dim - 1)] = at_expression
            draw_mesh(axes[row, mode], model.vertices(identity, expression).numpy(), model.triangles.numpy())
            axes[row, mode].set(aspect="equal", title=f"{mode}: {amount:+.1f} σ", xticks=[], yticks=[])
            axes[row, mode].invert_yaxis()
    figure.tight_layout()
    return figure


def draw_mesh(axes: Axes, points: np.ndarray, triangles: np.ndarray, colour: str = "tab:blue") -> None:
    """The edges of a mesh with points (V, 2 or more)."""
    axes.triplot(points[:, 0], points[:, 1], triangles, linewidth=0.3, color=colour)


def run(
    landmarks: Path, split: Path, out: Path, settings: params.FaceModelParams
) -> tuple[FaceModel, dict[str, float]]:
    """Learn from the clips of split train, or read the model that `settings` names; write out/face_model.npz.

    Returns:
        The model, and its figures: coefficients of the lower face; of a learned model also training meshes, speakers,
        and the share of expression variance explained in training speakers and in those held out.

    Raises:
        ValueError: no training clips, or the named file is not that model.
    """
    model, numbers = _learned(landmarks, split, settings) if settings.kind == "mediapipe_pca" else _given(settings)
    with atomic_path(fresh_dir(out) / "face_model.npz") as tmp:
        model.save(tmp)
    return model, {"lower_face": len(lower_face(model)), **numbers}


def _learned(landmarks: Path, split: Path, settings: params.FaceModelParams) -> tuple[FaceModel, dict[str, float]]:
    from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

    table, columns = tables.read(split), Columns(landmarks)
    train = sample_meshes(columns, table[table["split"] == "train"], settings.frames_per_clip)
    model = learn(train, settings, topology.triangles(FACEMESH_TESSELATION))
    numbers = {"meshes": len(train.points), "speakers": len(set(train.speaker))}
    numbers |= {f"explained/train/{place}": share for place, share in explained_variance(model, train).items()}
    held_out = table[table["split"].isin(["val", "test"])]
    if not held_out.empty:
        unseen = sample_meshes(columns, held_out, settings.frames_per_clip)
        numbers |= {f"explained/held_out/{place}": share for place, share in explained_variance(model, unseen).items()}
    return model, numbers


def _given(settings: params.FaceModelParams) -> tuple[FaceModel, dict[str, float]]:
    model = face_files.load(settings)
    return model, {"vertices": len(model.mean), "observed": len(model.observed)}


@one_line_errors("face_model", ValueError)
def main() -> None:
    settings = params.load()
    with tracking.stage_run("face_model", settings, ["face_model"], metrics=Path("metrics/face_model.json")) as stage:
        model, numbers = run(LANDMARKS, SPLIT, OUT, settings.face_model)
        stage.summary(numbers)
        for name, figure in figures(model).items():
            stage.figure(name, figure)
            plt.close(figure)
        stage.artifact(OUT)


if __name__ == "__main__":
    main()
