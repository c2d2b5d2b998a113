"""What must hold of the judges whatever is judged."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dreamtalk_models.identity_judge import fit
from stages.corpus.decode import read_video
from stages.evaluation.metrics.identity import aligned_faces, csim
from stages.evaluation.metrics.landmark_distance import f_lmd, m_lmd
from stages.evaluation.metrics.sharpness import cpbd
from stages.evaluation.scoring import Video
from stages.training.identity_judge import likeness, worth


def distances(points: np.ndarray, candidates: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(np.nanmean(m_lmd(points, other))) for name, other in candidates.items()}


def test_a_static_video_has_the_worst_mouth(talking):
    points = Video(talking.frames).points
    late = Video(np.concatenate([talking.frames[:1], talking.frames[:-1]])).points
    found = distances(
        points, {"truth": points, "a frame late": late, "still": np.repeat(points[:1], len(points), axis=0)}
    )
    assert found["truth"] == 0 < found["a frame late"] < found["still"]


@pytest.fixture(scope="module")
def clips(shared) -> dict[str, np.ndarray]:
    """The first two seconds of real recordings of two speakers, (50, 256, 256, 3)."""
    folder = Path(shared) / "realclips/mead"
    names = ("M030_front_happy_level3_001", "M030_front_sad_level3_001", "W009_front_happy_level3_001")
    return {name: read_video(folder / f"{name}.mp4", 25)[:50] for name in names}


def test_a_static_real_video_has_the_worst_mouth(clips):
    frames = next(iter(clips.values()))
    points = Video(frames).points
    coded = np.stack([cv2.imdecode(cv2.imencode(".jpg", f, [1, 60])[1], cv2.IMREAD_COLOR) for f in frames])
    late = np.concatenate([points[:1], points[:-1]])
    still = np.repeat(points[:1], len(points), axis=0)
    found = distances(points, {"re-encoded": Video(coded).points, "a frame late": late, "still": still})
    assert found["still"] == max(found.values()) and found["still"] > 2 * found["re-encoded"]
    assert f_lmd(points, points).max() == 0


def test_blur_lowers_the_sharpness_of_real_pictures_step_by_step(clips):
    for frames in clips.values():
        values = [
            np.nanmean(cpbd(np.stack([cv2.GaussianBlur(f, (0, 0), s) if s else f for f in frames[::10]])))
            for s in (0, 0.6, 1.0, 1.6)
        ]
        assert (np.diff(values) < 0).all()


def by_looks(faces: np.ndarray) -> np.ndarray:
    """A recogniser without weights: the aligned face, small and grey, as a unit vector."""
    small = np.stack([cv2.resize(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), (16, 16)) for f in faces]).reshape(len(faces), -1)
    centred = small - small.mean(1, keepdims=True)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def test_another_speaker_is_less_alike(clips):
    faces = {name: aligned_faces(frames, Video(frames).points) for name, frames in clips.items()}
    own, other_take, other_speaker = (csim(by_looks, faces[next(iter(faces))][0], found) for found in faces.values())
    assert own > other_take > other_speaker
    assert own > 0.9 and other_speaker < 0.85


def person(clip: str) -> str:
    """Who is seen in a real clip."""
    return clip[:4] if clip[:4] in ("M030", "W009") else clip.partition("_clip")[0]


def test_the_judge_fitted_to_some_people_tells_others_apart(shared):
    faces = {}
    for path in sorted((Path(shared) / "realclips").rglob("*.mp4")):
        frames = read_video(path, 25)
        chosen = frames[np.linspace(0, len(frames) - 1, 6).round().astype(int)]
        faces[path.stem] = aligned_faces(chosen, Video(chosen).points)
    known, held_out = ([c for c in faces if (person(c) in ("M030", "W009")) == held] for held in (False, True))
    people = sorted({person(clip) for clip in known})
    labels = np.repeat([people.index(person(clip)) for clip in known], [len(faces[clip]) for clip in known])
    pictures = torch.from_numpy(np.concatenate([faces[clip] for clip in known]))
    judge = fit(pictures, torch.from_numpy(labels), size=28, components=100, shrinkage=0.1)
    alike = likeness(judge, [faces[clip] for clip in held_out]).numpy()
    found, _ = worth(alike, np.array([person(clip) for clip in held_out]))
    assert found["auc"] > 0.95 and found["same_speaker"] > found["other_speaker"]
