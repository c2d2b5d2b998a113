"""Fits of clips whose coefficients are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.fitting import Fit, fit, procrustes, smooth, unpose
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
