"""Motion metrics, style metrics and summaries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torchmetrics.multimodal import LipVertexError

from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.style_classifier import StyleClassifier
from stages.evaluation.metrics import motion, style
from stages.evaluation.metrics.summary import bootstrap_interval, summarise

RNG = np.random.default_rng(0)


def test_motion_distance_by_hand_and_over_the_common_frames():
    truth = np.zeros((5, 2))
    assert motion.motion_distance(truth, np.full((3, 2), [3.0, 4.0])) == pytest.approx(5)
    assert np.isnan(motion.motion_distance(truth, truth[:0]))


def test_lip_vertex_error_equals_torchmetrics():
    truth, generated = RNG.normal(size=(2, 9, 30))
    vertices = [torch.from_numpy(x.reshape(9, 10, 3)) for x in (generated, truth)]
    expected = LipVertexError(mouth_map=list(range(10)))(*vertices)
    assert motion.lip_vertex_error(truth, generated) == pytest.approx(float(expected))


def test_intensity_grows_with_the_distance_from_neutral():
    neutral, direction = RNG.normal(size=(2, 8))
    weak, strong = (neutral + scale * direction * np.ones((4, 1)) for scale in (1, 3))
    assert motion.intensity(strong, neutral) == pytest.approx(3 * motion.intensity(weak, neutral))


@pytest.fixture(scope="module")
def classifier() -> StyleClassifier:
    """Knows two groups by the sign of the first coefficient."""
    net = StyleClassifier(motion_dim=3, classes=2)
    net.centres[:, 0] = torch.tensor([-1.0, 1.0])
    return net.eval()


@pytest.mark.parametrize("frames", [3, 16, 50])
def test_style_group_of_motion_of_any_length(classifier: StyleClassifier, frames: int):
    clip = RNG.normal(0, 0.3, (frames, 3))
    assert style.style_group(classifier, clip + np.eye(3)[0]) == 1
    assert style.style_group(classifier, clip - np.eye(3)[0]) == 0


def test_all_of_a_long_motion_counts(classifier: StyleClassifier):
    clip = RNG.normal(0, 0.1, (64, 3))
    clip[:16, 0] -= 1
    clip[16:, 0] += 1
    assert style.style_group(classifier, clip) == 1


def test_style_codes_are_near_for_the_same_style_and_of_the_beginning():
    torch.manual_seed(0)
    net = Denoiser(
        motion_dim=4, audio_dim=3, style_frames=20, d_model=16, heads=2, feedforward=16, layers=1, lower=(0,)
    ).eval()
    clip = RNG.normal(size=(60, 4))
    code = style.style_code(net, clip)
    assert code.shape == (16,)
    np.testing.assert_array_equal(code, style.style_code(net, clip[:20]))
    assert style.style_code_distance(code, code) == 0
    assert style.style_code_distance(code, code + np.eye(16)[3]) == pytest.approx(1)


def test_summaries_count_what_was_scored():
    scores = pd.DataFrame({"clip_id": list("abcd"), "ssim": [0.5, 0.7, np.nan, 0.6], "csim": [np.nan] * 4})
    result = summarise(scores, resamples=200, seed=0)
    assert result["ssim"] == pytest.approx(0.6) and result["ssim_clips"] == 3
    assert 0.5 <= result["ssim_low"] < 0.6 < result["ssim_high"] <= 0.7
    assert result["csim_clips"] == 0 and "csim" not in result
    assert result == summarise(scores, resamples=200, seed=0)


def test_the_bootstrap_interval_is_as_wide_as_theory_says():
    values = RNG.normal(3, 2, 400)
    low, high = bootstrap_interval(values, 1000, 0)
    error = values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.3 * error)
