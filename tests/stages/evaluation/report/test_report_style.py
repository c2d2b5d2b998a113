from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.face_model import FaceModel
from stages.evaluation.report import intensity, style_codes
from stages.evaluation.report.choice import spread


def codes_of(labels: list[str]) -> np.ndarray:
    """Codes that gather by label."""
    rng = np.random.default_rng(0)
    centres = {label: 10 * rng.normal(size=4) for label in sorted(set(labels))}
    return np.stack([centres[label] for label in labels]) + rng.normal(size=(len(labels), 4))


def test_purity_tells_what_codes_gather_by() -> None:
    speakers = ["a"] * 10 + ["b"] * 10
    emotions = ["happy", "sad"] * 10
    codes = codes_of(speakers)
    by_speaker, by_emotion = (style_codes.purity(codes, labels, 5) for labels in (speakers, emotions))
    assert by_speaker.mean == 1.0
    assert by_speaker.chance == pytest.approx(9 / 19)
    assert by_emotion.mean < 0.8


def test_silhouette_is_high_for_what_codes_gather_by_alone() -> None:
    speakers, emotions = ["a"] * 8 + ["b"] * 8, ["x", "y"] * 8
    codes = codes_of(speakers)
    assert style_codes.silhouette(codes, speakers) > 0.5 > 0.1 > style_codes.silhouette(codes, emotions)


def test_purity_among_other_speakers_leaves_out_the_speakers_own() -> None:
    speakers = ["a"] * 6 + ["b"] * 6
    emotions = ["happy"] * 6 + ["sad"] * 6
    found = style_codes.purity(codes_of(speakers), emotions, 3, apart=speakers)
    assert found.mean == found.chance == 0.0


def test_purity_of_one_speaker_among_others_is_an_error() -> None:
    with pytest.raises(ValueError, match="one group"):
        style_codes.purity(np.eye(4), ["x"] * 4, 2, apart=["a"] * 4)


def test_the_map_is_the_same_every_time_and_keeps_groups_together() -> None:
    labels = ["a"] * 15 + ["b"] * 15
    first, second = (style_codes.tsne(codes_of(labels), seed=1) for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert style_codes.purity(first, labels, 3).mean == 1.0


@pytest.fixture(scope="module")
def face(finished_run: Path) -> FaceModel:
    return FaceModel.load(finished_run / "models/face_model/face_model.npz")


def test_length_is_in_percent_of_the_eyes(face: FaceModel) -> None:
    offset = 0.5 * face.expression_basis[:, 2].reshape(-1, 3)
    assert intensity.length(offset) == pytest.approx(100 * float(offset.norm(dim=1).mean()), rel=1e-5)
    assert intensity.length(torch.zeros(4, 3)) == 0.0


def test_intensity_starts_at_zero_and_follows_the_guidance_scale(face: FaceModel, finished_run: Path) -> None:
    torch.set_num_threads(1)
    denoiser = checkpoints.load(finished_run / "models/denoiser/full/weights.safetensors", Denoiser)
    rng = np.random.default_rng(0)
    subject = intensity.Subject(
        clip_id="x",
        windows=rng.normal(size=(12, 11, 6)).astype(np.float32),
        style=rng.normal(size=(10, 8)).astype(np.float32),
        identity=np.zeros(3, np.float32),
        truth=rng.normal(size=(12, 8)).astype(np.float32),
    )
    found = intensity.sweep(denoiser, face, [subject], [0.0, 1.0, 2.0], steps=1, method="ddim", seed=0)
    assert found.strength[0, 0] == 0
    # one step of diffusion is linear in the scale
    assert found.strength[0, 2] == pytest.approx(2 * found.strength[0, 1], rel=1e-3)
    assert found.strength.shape == found.agreement.shape == (1, 3)
    still, styled = (found.expressions[0][i].mean(0) for i in (0, 1))
    goal, moved = (face.expression_basis.numpy() @ (motion - still) for motion in (subject.truth.mean(0), styled))
    assert found.reference[0] == pytest.approx(100 * np.linalg.norm(goal.reshape(-1, 3), axis=1).mean(), rel=1e-4)
    assert found.share[0] == pytest.approx([0, (share := goal @ moved / (goal @ goal)), 2 * share], rel=1e-3)
    real, spoken = (opening(face, motion) for motion in (subject.truth, found.expressions[0][2]))
    assert found.agreement[0, 2] == pytest.approx(np.corrcoef(real, spoken)[0, 1], abs=1e-3)


def opening(face: FaceModel, motion: np.ndarray) -> np.ndarray:
    """(n,) distance of the inner lips' middles, iBUG points 62 and 66."""
    points = face.landmarks68(face.vertices(torch.zeros(3), torch.from_numpy(motion)))
    return (points[:, 62] - points[:, 66]).norm(dim=1).numpy()


def test_spread_shows_many_emotions_and_speakers_and_the_strong_levels() -> None:
    clips = pd.DataFrame(
        [
            {"clip_id": f"{speaker}_{emotion}_{level}", "speaker": speaker, "emotion": emotion, "level": level}
            for speaker in ("a", "b")
            for emotion in ("neutral", "happy", "sad", None)
            for level in (1, 3)
        ]
    )
    assert spread(clips, 2) == ["a_happy_3", "b_sad_3"]
    assert spread(clips.sample(frac=1, random_state=0), 5) == spread(clips, 5)
    assert len(spread(clips, 100)) == len(clips)
