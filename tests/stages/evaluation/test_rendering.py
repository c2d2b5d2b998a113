"""From motion to the portrait's landmarks, and PIRenderer's driving windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stages import params
from stages.evaluation.inputs import InputError
from stages.evaluation.motion import Motion, Pose, still
from stages.evaluation.portrait import Portrait, fitted
from stages.evaluation.rendering import LOWER_INNER_LIP, UPPER_INNER_LIP, draw, driving, landmark_targets
from stages.features import face_files
from tests.stages.evaluation import talking
from tests.stages.features import published_models


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray]:
    return talking.face()


@pytest.fixture(scope="module")
def portrait(face: tuple[np.ndarray, np.ndarray], root) -> Portrait:
    landmarks = face[1][:468] + np.random.default_rng(0).normal(0, 0.5, (468, 3)).astype(np.float32)
    return fitted(landmarks, talking.face_model(face[1]), params.load(root / "params.yaml").fit)


def moving(portrait: Portrait, expression: np.ndarray, pose: Pose | None = None) -> Motion:
    return Motion(expression, pose or still(portrait.angles, portrait.translation, len(expression)))


def test_a_portraits_own_motion_gives_its_own_landmarks(face, portrait: Portrait) -> None:
    motion = moving(portrait, np.tile(portrait.expression, (3, 1)))
    targets = landmark_targets(talking.face_model(face[1]), portrait, motion)
    off = np.abs(targets - portrait.landmarks)[..., :2]
    lips = [*UPPER_INNER_LIP, *LOWER_INNER_LIP]
    assert np.delete(off, lips, axis=1).max() < 1e-2
    assert off.max() < 1.5  # noise had crossed the closed lips


def test_what_the_model_cannot_say_turns_and_scales_with_the_head(face, portrait: Portrait) -> None:
    model = talking.face_model(face[1])
    quarter = Pose(
        (portrait.angles + np.float32([0, 0, np.pi / 2]))[None],
        (portrait.translation + np.float32([0, 0, np.log(2)]))[None],
    )
    expression = portrait.expression[None]
    upright = landmark_targets(model, portrait, moving(portrait, expression))[0, 10] - portrait.landmarks[152]
    turned = landmark_targets(model, portrait, moving(portrait, expression, quarter))[0]
    turned = turned[10] - turned[152]
    np.testing.assert_allclose(turned[:2], 2 * np.array([-upright[1], upright[0]]), atol=0.5)


def test_another_mesh_than_mediapipes_is_refused(portrait: Portrait, tmp_path: Path, root: Path) -> None:
    settings = params.load(root / "params.yaml").face_model
    model = face_files.open_model(published_models.write_bfm(tmp_path), settings)
    with pytest.raises(InputError, match="mediapipe_pca"):
        landmark_targets(model, portrait, moving(portrait, np.zeros((2, 64), np.float32)))


def test_lips_touch_where_they_would_cross(face, portrait: Portrait) -> None:
    model = talking.face_model(face[1])
    shut = np.float32([[-3, 0, 0, 0], [2, 0, 0, 0]])
    targets = landmark_targets(model, portrait, moving(portrait, shut))
    gap = (targets[:, LOWER_INNER_LIP] - targets[:, UPPER_INNER_LIP])[..., 1]
    assert gap[0].min() > -0.1
    assert gap[1].mean() > 1


def test_driving_windows_repeat_the_ends(face, portrait: Portrait) -> None:
    motion = moving(portrait, np.arange(12, dtype=np.float32).reshape(3, 4))
    seen = []

    class Spy(torch.nn.Module):
        def study(self, picture: torch.Tensor) -> torch.Tensor:
            return picture

        def animate(self, studied: torch.Tensor, windows: torch.Tensor) -> dict[str, torch.Tensor]:
            seen.append(windows)
            return {"fake_image": studied}

    frames = list(draw(Spy(), face[0], driving(motion), radius=2, size=64))
    assert len(frames) == 3
    assert frames[0].shape == face[0].shape
    windows = torch.cat(seen)
    assert windows.shape == (3, talking.DIMS + 9, 5)
    assert windows[0, 0].tolist() == [0, 0, 0, 4, 8]
    assert windows[2, 0].tolist() == [0, 4, 8, 8, 8]
    assert windows[1, -3:, 2].tolist() == [1, 0, 0]
