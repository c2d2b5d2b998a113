"""Mouths rest in pauses of speech, and not in the short silence of a plosive."""

from __future__ import annotations

import numpy as np
import torch

from dreamtalk_models.closures import MOUTH, Closure
from stages.evaluation.pauses import at_rest, resting
from stages.params import Pause
from tests.stages.evaluation import talking

SETTINGS = Pause(below_db=35.0, noise_db=3.0, clear_db=15.0, least_s=0.2, lead_s=0.08, calm_s=0.12)


def sound(*parts: tuple[float, float]) -> np.ndarray:
    """Noise of (seconds, level) one after another."""
    generator = np.random.default_rng(0)
    return np.concatenate([level * generator.normal(size=round(16000 * s)) for s, level in parts]).astype(np.float32)


def test_rest_is_in_pauses_only_and_ends_before_the_sound_begins() -> None:
    rest = resting(sound((1, 0.1), (0.12, 0), (0.88, 0.1), (1, 1e-4), (1, 0.1)), 100, 25, SETTINGS)
    assert rest[:47].max() < 0.05
    assert rest[53:70].min() > 0.95
    assert rest[75:].max() < 0.1
    assert np.abs(np.diff(rest)).max() < 0.6


def test_silence_and_noise_throughout() -> None:
    assert resting(sound((2, 0)), 50, 25, SETTINGS).min() > 0.99
    assert resting(sound((2, 1e-5)), 50, 25, SETTINGS).min() > 0.99
    assert resting(sound((2, 0.1)), 50, 25, SETTINGS).max() == 0
    assert len(resting(np.zeros(1, np.float32), 1, 25, SETTINGS)) == 1


def test_a_pause_is_found_beside_an_offset_and_in_noise() -> None:
    clean = sound((1, 0.1), (1, 1e-4), (1, 0.1))
    noise = np.random.default_rng(1).normal(size=len(clean))
    for disturbed in (clean + 0.05, clean + 0.01 * noise):
        rest = resting(disturbed.astype(np.float32), 75, 25, SETTINGS)
        assert rest[:20].max() < 0.05
        assert rest[29:45].min() > 0.95
        assert rest[55:].max() < 0.05
    assert resting((clean + 0.05 * noise).astype(np.float32), 75, 25, SETTINGS).max() == 0  # nothing to go by


def test_who_never_pauses_keeps_speaking() -> None:
    syllables = sound(*[(0.2, level) for level in (0.1, 0.03, 0.08, 0.05) * 5])  # 10 dB apart
    assert resting(syllables, 100, 25, SETTINGS).max() == 0


def test_lips_close_as_far_as_they_rest() -> None:
    model = talking.face_model(talking.face()[1])
    mouth = Closure(model, torch.zeros(model.identity_dim), MOUTH)
    spoken = np.zeros((100, model.expression_dim), np.float32)
    spoken[:, 0] = 2.0  # an open mouth
    rest = np.repeat([0.0, 1.0], 50)
    gap = mouth.gap(torch.from_numpy(at_rest(spoken, mouth, rest, 25, SETTINGS))).numpy()
    np.testing.assert_allclose(gap[:50], mouth.gap(torch.from_numpy(spoken[:50])), atol=1e-5)
    assert np.abs(gap[50:]).max() < 0.2 * gap[0].max()
