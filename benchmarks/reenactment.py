"""Expression re-enactment: the motion fitted from a clip, rendered on the clip's own first frame, against the clip.

Says what the renderers lose by themselves, with no network that speaks in between. "still" is the first frame
repeated: a renderer should do better than that. SSIM, F-LMD and M-LMD (px) at the size given, as the evaluation has
them; `opening` is the correlation of the lips' distance with the clip's.

python -m benchmarks.reenactment FOLDER [--models models] [--frames 100] [--size 256] [--strips OUT]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from dreamtalk_models import checkpoints
from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.renderers.pirenderer import PIRenderer
from stages import params
from stages.corpus import decode
from stages.corpus.faces import FaceMesh
from stages.corpus.gaps import bridged
from stages.evaluation.metrics import landmark_distance as distance
from stages.evaluation.metrics.structural_similarity import ssim
from stages.evaluation.motion import Motion, Pose
from stages.evaluation.portrait import MESH_POINTS, Portrait
from stages.evaluation.rendering import draw, driving, warp
from stages.features.landmark_fit import fit_landmarks
from stages.program import one_line_errors

VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi")
SHOWN = 8  # frames in a strip


def found_landmarks(frames: Iterable[np.ndarray]) -> np.ndarray:
    """(n, 478, 3) px; NaN where no face is seen."""
    with FaceMesh() as mesh:
        found = [mesh.landmarks(frame) for frame in frames]
    return np.stack([np.full((478, 3), np.nan, np.float32) if points is None else points for points in found])


def squares(frames: np.ndarray, landmarks: np.ndarray, margin: float, size: int) -> np.ndarray:
    """The square round the face in the first frame, cut out of all, (n, size, size, 3); square pictures are kept."""
    height, width = frames.shape[1:3]
    if height != width:
        low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
        half = int(min((high - low).max() * (0.5 + margin), height / 2, width / 2))
        x, y = np.clip(np.rint((low + high) / 2).astype(int), half, (width - half, height - half))
        frames = frames[:, y - half : y + half, x - half : x + half]
    return np.stack([cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in frames])


def renderings(
    frames: np.ndarray, landmarks: np.ndarray, model: FaceModel, pirenderer: PIRenderer | None, settings: params.Params
) -> Iterator[tuple[str, np.ndarray]]:
    """Name and frames (n, H, W, 3) of each renderer, moved as the clip's landmarks (n, 468, 3) are."""
    fit = fit_landmarks(model, landmarks, settings.fit)
    motion = Motion(fit["expression"], Pose(fit["angles"], fit["translation"]))
    first = (fit[name][0] for name in ("expression", "angles", "translation"))
    yield "still", np.repeat(frames[:1], len(frames), axis=0)
    yield "mesh_warp", np.stack(list(warp(model, frames[0], Portrait(landmarks[0], fit["identity"], *first), motion)))
    if pirenderer:
        p = settings.renderer
        yield "pirenderer", np.stack(list(draw(pirenderer, frames[0], driving(motion), p.radius, p.size)))


def scores(truth: np.ndarray, seen: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """Of frames (n, H, W, 3) against a clip and its landmarks (n, 478, 3)."""
    theirs, ours = (distance.landmarks68(points) for points in (seen, found_landmarks(made)))
    return {
        "ssim": float(ssim(truth, made).mean()),
        "f_lmd": float(np.nanmean(distance.f_lmd(theirs, ours))),
        "m_lmd": float(np.nanmean(distance.m_lmd(theirs, ours))),
        "opening": distance.mouth_opening_correlation(theirs, ours),
        "faces": distance.face_rate(ours),
    }


def strip(rows: list[np.ndarray]) -> np.ndarray:
    """Evenly spread frames of several films (n, H, W, 3), a row each."""
    shown = np.linspace(0, len(rows[0]) - 1, min(SHOWN, len(rows[0]))).round().astype(int)
    return np.concatenate([np.concatenate(list(row[shown]), axis=1) for row in rows])


@one_line_errors("reenactment", ValueError)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--frames", type=int, default=100, help="of each clip, at most")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--strips", type=Path, help="folder for a picture of each clip")
    given = parser.parse_args()
    settings = params.load()
    model = FaceModel.load(given.models / "face_model" / "face_model.npz")
    weights = given.models / "renderer" / "weights.safetensors"
    pirenderer = checkpoints.load(weights, PIRenderer) if weights.is_file() else None
    rows = []
    for path in sorted(path for path in given.folder.rglob("*") if path.suffix.lower() in VIDEOS):
        frames = np.stack(list(islice(decode.frames(path, settings.crop.fps), given.frames)))
        frames = squares(frames, found_landmarks(frames[:1])[0], settings.crop.margin, given.size)
        seen = found_landmarks(frames)
        if not np.isfinite(seen[[0, -1]]).all():
            print(f"{path.name}: no face in its first or last frame, left out")
            continue
        whole = bridged(seen[:, :MESH_POINTS])
        films = dict(renderings(frames, whole, model, pirenderer, settings))
        rows += [{"clip": path.stem, "renderer": name, **scores(frames, seen, film)} for name, film in films.items()]
        if given.strips:
            given.strips.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(given.strips / f"{path.stem}.png"), strip([frames, *films.values()])[..., ::-1])
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3f"))
    print(table.drop(columns="clip").groupby("renderer", sort=False).mean().to_string(float_format="%.3f"))


if __name__ == "__main__":
    main()
