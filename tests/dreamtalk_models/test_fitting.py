"""Fits of clips whose coefficients are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.fitting import LARGEST_NOD_CORRECTION, Fit, fit, measured, nod, procrustes, smooth, unpose
from tests.synthetic_face import synthetic_clip, synthetic_model

WEAK = {"identity_weight": 1e-6, "expression_weight": 1e-6, "smoothing": 0.0, "pose_smoothing": 0.0, "neck": 0.0}


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return synthetic_model()


def assert_recovers(found: Fit, truth: dict[str, torch.Tensor], tolerance: float) -> None:
    for name, expected in truth.items():
        error = (getattr(found, name) - expected).abs().max()
        assert error < tolerance, f"{name} is off by {error}"


@pytest.mark.parametrize("frames", [1, 2, 60])
def test_recovers_what_the_landmarks_were_made_of(model: FaceModel, frames: int) -> None:
    landmarks, truth = synthetic_clip(model, frames)
    found = fit(model, landmarks, **WEAK)
    assert found.identity.shape == (model.identity_dim,)
    assert_recovers(found, truth, 0.02)
    assert found.rmse.max() < 0.1


def test_depth_has_no_origin(model: FaceModel) -> None:
    landmarks, truth = synthetic_clip(model, 10)
    landmarks[..., 2] += 300
    assert_recovers(fit(model, landmarks, **WEAK), truth, 0.02)


def test_outliers_are_withstood(model: FaceModel) -> None:
    landmarks, truth = synthetic_clip(model, 60)
    free = sorted({*range(len(model.mean))} - {*model.sets["stable"].tolist()})
    chosen = torch.tensor(free)[torch.randperm(len(free), generator=torch.Generator().manual_seed(1))[:20]]
    landmarks[20:40, chosen] += 30.0
    found = fit(model, landmarks, **WEAK, iterations=6)
    still = (found.expression - truth["expression"]).abs().max()
    plain = fit(model, landmarks, **WEAK, iterations=1)
    assert still < 0.5 * (plain.expression - truth["expression"]).abs().max()
    assert still < 0.15


def test_noise_is_met_with_the_prior(model: FaceModel) -> None:
    landmarks, truth = synthetic_clip(model, 40)
    noisy = landmarks + 2 * torch.randn(landmarks.shape, generator=torch.Generator().manual_seed(2))
    weights = (1e-6, 1e-2, 1e3)
    sizes = [fit(model, noisy, **{**WEAK, "expression_weight": w}).expression.norm() for w in weights]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] < 0.05 * truth["expression"].norm()


def test_smoothing_calms_the_face_and_spares_a_blink(model: FaceModel) -> None:
    """One coefficient moves the eyelids alone, one the brows alone; each jumps for a single frame."""
    basis = torch.zeros(len(model.mean), 3, 2)
    basis[torch.cat([model.sets["left_eye"], model.sets["right_eye"]]), 1, 0] = 0.3
    basis[model.sets["brows"], 1, 1] = 0.3
    basis[model.sets["stable"]] = 0
    arrays = {name: getattr(model, name) for name in ("mean", "identity_basis", "vertex_weights", "triangles")}
    two = FaceModel(**arrays, expression_basis=basis.flatten(0, 1), expression_std=torch.ones(2))
    expression = torch.zeros(21, 2)
    expression[10] = 1.0
    still = torch.zeros(21, 3)
    landmarks = two.project(torch.zeros(two.identity_dim), expression, still, still + torch.tensor([0.0, 0.0, 4.0]))
    found = fit(two, landmarks, **{**WEAK, "smoothing": 1.0}).expression[10]
    assert found[0] == pytest.approx(1.0, abs=0.03)
    assert found[1] == pytest.approx(1 / 5**0.5, abs=0.05)  # the peak of (I + L)⁻¹'s response


def test_equal_input_gives_equal_bytes(model: FaceModel) -> None:
    landmarks, _ = synthetic_clip(model, 30)
    first, second = (fit(synthetic_model(), landmarks.clone(), **WEAK) for _ in range(2))
    assert first.expression.numpy().tobytes() == second.expression.numpy().tobytes()
    assert first.identity.numpy().tobytes() == second.identity.numpy().tobytes()


def test_procrustes_never_mirrors_and_unpose_inverts(model: FaceModel) -> None:
    landmarks, truth = synthetic_clip(model, 5)
    shapes = model.vertices(truth["identity"], truth["expression"])
    rigid = procrustes(shapes, landmarks)
    torch.testing.assert_close(rigid[:, :3], truth["angles"], atol=1e-4, rtol=0)
    torch.testing.assert_close(unpose(landmarks, rigid), shapes, atol=1e-4, rtol=0)
    mirrored = procrustes(shapes * torch.tensor([-1.0, 1.0, 1.0]), landmarks)
    assert torch.isfinite(mirrored).all()


def test_smooth_solves_its_equations() -> None:
    values = torch.randn(12, 2, 3, generator=torch.Generator().manual_seed(3))
    steps = np.diff(np.eye(12), axis=0)
    expected = np.linalg.solve(np.eye(12) + 0.7 * steps.T @ steps, values.flatten(1).numpy())
    np.testing.assert_allclose(smooth(values, 0.7).flatten(1).numpy(), expected, atol=1e-5)
    torch.testing.assert_close(smooth(torch.full((9, 2), 3.0), 5.0), torch.full((9, 2), 3.0))
    assert torch.equal(smooth(values[:1], 0.7), values[:1])


def test_smooth_weighs_frames() -> None:
    values = torch.zeros(9, 1)
    values[4] = 1.0
    weights = torch.ones(9)
    plain = smooth(values, 0.5, weights)
    torch.testing.assert_close(plain, smooth(values, 0.5))
    weights[4] = 0.1
    assert smooth(values, 0.5, weights)[4] < 0.3 * plain[4]


def test_interpolated_frames_are_known(model: FaceModel) -> None:
    landmarks, _ = synthetic_clip(model, 30)
    assert measured(landmarks).all()
    for frame in (8, 9, 10):
        landmarks[frame] = torch.lerp(landmarks[7], landmarks[11], (frame - 7) / 4)
    assert (~measured(landmarks)).nonzero().flatten().tolist() == [8, 9, 10]
    assert measured(landmarks[:1].expand(5, -1, -1)).all()  # a picture that stands still
    assert measured(landmarks[:1]).all()


def test_filled_frames_have_no_say_in_the_identity(model: FaceModel) -> None:
    landmarks, truth = synthetic_clip(model, 40)
    broken = landmarks.clone()
    broken[10] = landmarks[10] * torch.tensor([1.3, 1.0, 1.0])  # another face: the frames around it are filled in
    for frame in range(11, 30):
        broken[frame] = torch.lerp(broken[10], broken[30], (frame - 10) / 20)
    found = fit(model, broken, **WEAK).identity - truth["identity"]
    assert found.abs().max() < 0.35


def test_a_nod_is_read_from_the_movement_on_the_neck_as_well() -> None:
    frames, neck, scale = torch.arange(100), 2.0, 60.0
    true = 0.05 * (2 * torch.pi * frames / 20).sin()
    rigid = torch.zeros(100, 7)
    noise = 0.02 * torch.randn(100, generator=torch.Generator().manual_seed(4))
    rigid[:, 0], rigid[:, 4], rigid[:, 6] = true + noise, 128 + neck * scale * true, np.log(scale)
    found = nod(rigid, neck, torch.ones(100))
    assert (found - true).std() < 0.7 * noise.std()
    carried = rigid.clone()
    carried[:, 4] += 100 * (frames > 50)
    assert (nod(carried, neck, torch.ones(100)) - rigid[:, 0]).abs().max() <= LARGEST_NOD_CORRECTION + 1e-6
    torch.testing.assert_close(nod(rigid[:1], neck, torch.ones(1)), rigid[:1, 0])


def test_a_model_that_is_seen_in_few_points_is_fitted_by_them(model: FaceModel) -> None:
    observed = torch.arange(0, len(model.mean), 2)
    names = ("mean", "identity_basis", "expression_basis", "expression_std", "vertex_weights", "triangles")
    arrays = {name: getattr(model, name) for name in names}
    half = FaceModel(**arrays, observed=observed, landmarks=observed[:, None].repeat(1, 2), sets=model.sets)
    landmarks, truth = synthetic_clip(model, 20)
    landmarks[:, 1::2] = 0  # what is not observed does not matter
    assert not half.is_mediapipe
    found = fit(half, landmarks, **WEAK)
    assert_recovers(found, truth, 0.05)
