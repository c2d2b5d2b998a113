"""How well the fit agrees with published Deep3DFaceRecon coefficients of the same frames, on real clips.

python -m benchmarks.fit_agreement FOLDER [--model FILE] [--others]

FOLDER has a manifest.csv with columns file, speaker, emotion, level and coeff: the video and its .mat, below FOLDER.
The face model is --model, by default models/face_model/face_model.npz; --others learns one for each clip from the other
speakers' clips instead.

R2: ridge regression from our expression coefficients to the published 64, of each clip by itself, fitted on 7 of every
10 blocks of 25 frames and scored on the others (blocks 2, 5 and 8, so that short clips have some too); its strength is
chosen by cross-validation over the training blocks. R2 is that of all 64 together, each weighing as much as it varies:
1 - (sum of squared errors) / (sum of squared deviations from the scored frames' mean). Corr is the mean correlation on
the six published coefficients that vary most. Angles are compared as they are, without a regression.

Frames are paired by their numbers. A video with more frames than its .mat has lost the first ones there: `lead` is the
offset, within the frames that are too many, at which the head turns alike; `by_number` is R2 without it.

What limits R2: `landmarks_r2` is that of the landmarks themselves, brought into one pose, in place of coefficients;
`published_noise` the share of the published variance that would be noise if its second differences in time were nothing
else.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pandas as pd
import scipy.io
import torch
from mediapipe.python.solutions.face_mesh_connections import FACEMESH_TESSELATION

from dreamtalk_models import face_topology as topology
from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.fitting import procrustes, unpose
from stages import params
from stages.corpus.faces import FaceMesh
from stages.corpus.gaps import bridged
from stages.evaluation.coefficients import ANGLES, EXPRESSION
from stages.evaluation.published_pose import PUBLISHED_TURN
from stages.features.face_model import Meshes, learn
from stages.features.fit import MODEL
from stages.features.fit_quality import identity_ratio, quality
from stages.features.landmark_fit import fit_landmarks
from stages.program import one_line_errors

BLOCK, SCORED = 25, (2, 5, 8)
STRENGTHS = np.logspace(-3, 5, 17)
FOLDS = 5
STRONGEST = 6


@dataclass(frozen=True)
class Clip:
    """A clip's landmarks (n, 478, 3) px and its published coefficients (m, 257)."""

    name: str
    speaker: str
    emotion: str
    landmarks: np.ndarray
    published: np.ndarray


def read_clips(folder: Path) -> list[Clip]:
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["coeff"] and (folder / row["file"]).suffix == ".mp4"]
    clips = []
    for row in rows:
        with FaceMesh() as mesh, av.open(str(folder / row["file"])) as video:
            found = [mesh.landmarks(frame.to_ndarray(format="rgb24")) for frame in video.decode(video=0)]
        seen = [points for points in found if points is not None]
        if not seen:
            print(f"{row['file']}: no face")
            continue
        found[0], found[-1] = (seen[i] if found[i] is None else found[i] for i in (0, -1))
        published = scipy.io.loadmat(folder / row["coeff"])["coeff"]
        speaker = row["speaker"] or Path(row["file"]).stem
        clips.append(Clip(Path(row["file"]).stem, speaker, row["emotion"], bridged(found), published))
    return clips


def ridge(x: np.ndarray, y: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Predictions of y (n, k) from x (n, d) by a ridge regression of the frames in `train` (n,) bool."""
    blocks = np.arange(len(x)) // BLOCK
    groups = [group for group in np.array_split(np.unique(blocks[train]), FOLDS) if len(group)]
    errors = np.zeros(len(STRENGTHS))
    for group in groups if len(groups) > 1 else ():
        out = train & np.isin(blocks, group)
        errors += [np.square(p[out] - y[out]).sum() for p in _ridges(x, y, train & ~out, STRENGTHS)]
    return _ridges(x, y, train, STRENGTHS[[errors.argmin()]])[0]


def _ridges(x: np.ndarray, y: np.ndarray, train: np.ndarray, strengths: np.ndarray) -> list[np.ndarray]:
    x, mean = (x - x[train].mean(0)) / x[train].std(), y[train].mean(0)
    left, singular, right = np.linalg.svd(x[train], full_matrices=False)
    rotated, target = x @ right.T, left.T @ (y[train] - mean)
    return [rotated * (singular / (singular**2 + strength)) @ target + mean for strength in strengths]


def agreement(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """R2 and corr, see above; x (n, d) ours, y (n, 64) published; nan for clips too short to have a scored block."""
    scored = np.isin(np.arange(len(x)) // BLOCK % 10, SCORED)
    if scored.sum() < 2:
        return np.nan, np.nan
    error = ridge(x, y, ~scored)[scored] - y[scored]
    r2 = 1 - np.square(error).sum() / np.square(y[scored] - y[scored].mean(0)).sum()
    strongest = y[scored].var(0).argsort()[-STRONGEST:]
    pairs = [(error[:, i] + y[scored, i], y[scored, i]) for i in strongest]
    return r2, float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))


def correlations(ours: np.ndarray, published: np.ndarray) -> np.ndarray:
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, published.T, strict=True)])


def paired(ours: np.ndarray, published: np.ndarray, lead: int) -> tuple[np.ndarray, np.ndarray]:
    count = min(len(ours) - lead, len(published))
    return ours[lead : lead + count], published[:count]


def lead_of(angles: np.ndarray, published: np.ndarray) -> int:
    spare = range(max(0, len(angles) - len(published)) + 1)
    return max(spare, key=lambda lead: correlations(*paired(angles, published, lead)).mean())


def still(landmarks: np.ndarray, model: FaceModel) -> np.ndarray:
    """Landmarks (n, 478, 3) brought into one pose by the vertices that the skull carries, (n, K*3)."""
    face, points = model.observed_part, model.observe(torch.from_numpy(landmarks).float())
    stable = face.sets["stable"]
    rigid = procrustes(face.mean[stable].expand(len(points), -1, -1), points[:, stable])
    return unpose(points, rigid).flatten(1).double().numpy()


def noise_share(published: np.ndarray) -> float:
    y = published[:, EXPRESSION]
    return float(np.square(np.diff(y, 2, axis=0)).mean(0).sum() / 6 / y.var(0).sum())


def measure(clip: Clip, model: FaceModel, settings: params.Fit) -> dict[str, object]:
    start = time.process_time()
    motion = fit_landmarks(model, clip.landmarks, settings)
    seconds = time.process_time() - start
    turned = clip.published[:, ANGLES] * PUBLISHED_TURN
    lead = lead_of(motion["angles"], turned)
    r2, corr = agreement(*paired(motion["expression"], clip.published[:, EXPRESSION], lead))
    by_number, _ = agreement(*paired(motion["expression"], clip.published[:, EXPRESSION], 0))
    of_landmarks, _ = agreement(*paired(still(clip.landmarks, model), clip.published[:, EXPRESSION], lead))
    turns = dict(zip(("pitch", "yaw", "roll"), correlations(*paired(motion["angles"], turned, lead)), strict=True))
    row = quality(model, clip.landmarks, motion, settings)
    kept = ("fit_rmse_px", "jitter_px", "landmark_jitter_px", "mouth_velocity", "identity_gap", "failed_frames")
    about = {"clip": clip.name, "frames": len(clip.landmarks), "lead": lead, "r2": r2, "corr": corr, **turns}
    limits = {"by_number": by_number, "landmarks_r2": of_landmarks, "published_noise": noise_share(clip.published)}
    numbers = {"turning_rad": turned.std(0).mean(), **limits, **{name: row[name] for name in kept}}
    return {
        **about,
        **numbers,
        "frames/s": len(clip.landmarks) / seconds,
        "motion": motion,
        "identity": motion["identity"],
    }


def model_of_others(clips: list[Clip], speaker: str, settings: params.FaceModelParams) -> FaceModel:
    """A face model learned from the clips of everybody else."""
    others = [clip for clip in clips if clip.speaker != speaker]
    picks = [np.linspace(0, len(c.landmarks) - 1, settings.frames_per_clip).round().astype(int) for c in others]
    points = [c.landmarks[index, : topology.VERTICES] for c, index in zip(others, picks, strict=True)]
    names = np.repeat([c.speaker for c in others], settings.frames_per_clip)
    neutral = np.repeat([c.emotion == "neutral" for c in others], settings.frames_per_clip)
    meshes = Meshes(torch.from_numpy(np.concatenate(points)).double(), names, neutral)
    return learn(meshes, settings, topology.triangles(FACEMESH_TESSELATION))


def emotion_transfer(clips: list[Clip], features: list[np.ndarray]) -> tuple[int, int]:
    """How often the nearest clip of another speaker has the clip's own emotion, and of how many clips; chance is one in
    the number of emotions. A clip is the mean and standard deviation of its coefficients, about its speaker's mean and
    in units of the deviation within speakers."""
    code = np.array([np.concatenate([f.mean(0), f.std(0)]) for f in features])
    speaker, emotion = (np.array([getattr(clip, name) for clip in clips]) for name in ("speaker", "emotion"))
    for name in np.unique(speaker):
        code[speaker == name] -= code[speaker == name].mean(0)
    code /= code.std(0) + 1e-9
    distance = np.linalg.norm(code[:, None] - code, axis=-1)
    distance[speaker[:, None] == speaker] = np.inf
    return int((emotion[distance.argmin(1)] == emotion).sum()), len(clips)


@one_line_errors("fit_agreement", ValueError)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--others", action="store_true", help="for each clip a model learned from the other speakers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings, clips = params.load(), read_clips(arguments.folder)
    learned = settings.face_model.model_copy(update={"expression_dim": 64})
    speakers = sorted({clip.speaker for clip in clips}) if arguments.others else [None]
    load = (
        (lambda s: model_of_others(clips, s, learned))
        if arguments.others
        else lambda _: FaceModel.load(arguments.model)
    )
    models = {speaker: load(speaker) for speaker in speakers}
    rows = [measure(clip, models[clip.speaker if arguments.others else None], settings.fit) for clip in clips]
    table = pd.DataFrame(rows).set_index("clip")
    numbers = table.drop(columns=["motion", "identity"])
    print(numbers.to_string(float_format="{:.3f}".format))
    long, turning = table["frames"] >= 8 * BLOCK, table["turning_rad"] > 0.03
    for name, part in (
        ("all clips", numbers),
        ("of 200 frames and more", numbers[long]),
        ("heads that turn", numbers[turning]),
    ):
        print(f"median, {name} ({len(part)}): ", end="")
        print(part.drop(columns=["frames", "lead"]).median().round(3).to_dict())
    acted = [i for i, clip in enumerate(clips) if clip.emotion and clip.emotion != "nan"]
    if not arguments.others and len({clips[i].speaker for i in acted}) > 1:  # one basis for all
        chosen = [clips[i] for i in acted]
        ours = emotion_transfer(chosen, [rows[i]["motion"]["expression"] for i in acted])
        theirs = emotion_transfer(chosen, [clip.published[:, EXPRESSION] for clip in chosen])
        print("emotion of the other speaker's nearest clip: ours {} of {}, published {} of {}".format(*ours, *theirs))
    names = np.array([clip.speaker for clip in clips])
    if not arguments.others and len(set(names)) < len(names):
        own = identity_ratio(np.stack(table["identity"]), names)
        published = identity_ratio(np.stack([clip.published[:, :80].mean(0) for clip in clips]), names)
        print(f"identity, within a speaker / across: ours {own:.2f}, published {published:.2f}")


if __name__ == "__main__":
    main()
