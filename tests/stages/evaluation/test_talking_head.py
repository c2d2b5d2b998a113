"""From sound and style to expression, with an untrained network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamtalk_models.denoiser import Denoiser
from stages.evaluation import talking_head
from stages.features import audio
from tests.stages.evaluation.talking import DIMS, SIZES

CHANNELS = 5


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(motion_dim=DIMS, audio_dim=CHANNELS, style_frames=8, decoder="single", **SIZES).eval()


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(10, 11, CHANNELS)).astype(np.float32)


def speak(denoiser: Denoiser, sound: np.ndarray, code: np.ndarray, **changes: object) -> np.ndarray:
    options = {"steps": 3, "guidance": 1.0, "method": "ddim", "seed": 0} | changes
    return talking_head.speak(denoiser, sound, code, **options)


def reference(denoiser: Denoiser, seed: int, frames: int = 8) -> np.ndarray:
    style = np.random.default_rng(seed).normal(size=(frames, DIMS)).astype(np.float32)
    return talking_head.reference_code(denoiser, style)


def test_same_seed_same_motion(denoiser: Denoiser, sound: np.ndarray) -> None:
    code = reference(denoiser, 0)
    np.testing.assert_array_equal(speak(denoiser, sound, code), speak(denoiser, sound, code))
    assert (speak(denoiser, sound, code) != speak(denoiser, sound, code, seed=1)).any()


def test_equal_sound_gives_equal_frames(denoiser: Denoiser, sound: np.ndarray) -> None:
    steady = np.repeat(sound[:1], 6, axis=0)
    motion = speak(denoiser, steady, reference(denoiser, 0))
    np.testing.assert_allclose(motion, np.tile(motion[0], (6, 1)), atol=1e-5)


def test_rows_of_sound_are_heard_as_their_windows(denoiser: Denoiser) -> None:
    features = np.random.default_rng(0).normal(size=(34, CHANNELS)).astype(np.float32)
    code = reference(denoiser, 0)
    by_windows = speak(denoiser, audio.windows(features), code, guidance=2.0)
    by_rows = speak(denoiser, audio.rows_around(features), code, guidance=2.0)
    assert by_rows.shape == (17, DIMS)
    np.testing.assert_allclose(by_rows, by_windows, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2])
def test_sound_shorter_than_a_window(denoiser: Denoiser, frames: int) -> None:
    rows = audio.rows_around(np.ones((2 * frames, CHANNELS), np.float32))
    motion = speak(denoiser, rows, reference(denoiser, 0))
    assert motion.shape == (frames, DIMS)
    assert np.isfinite(motion).all()


def test_twenty_minutes_of_sound(denoiser: Denoiser) -> None:
    rows = np.random.default_rng(0).normal(size=(60009, CHANNELS)).astype(np.float32)
    motion = speak(denoiser, rows, reference(denoiser, 0), steps=1)
    assert motion.shape == (30000, DIMS)
    last = speak(denoiser, rows[-41:], reference(denoiser, 0), steps=1)
    np.testing.assert_allclose(motion[-16:], last, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 10_000])
def test_style_clips_of_any_length(denoiser: Denoiser, frames: int) -> None:
    code = reference(denoiser, 0, frames)
    assert code.shape == (denoiser.config["d_model"],)
    assert np.isfinite(code).all()


def test_without_intensity_every_style_is_the_neutral_one(denoiser: Denoiser, sound: np.ndarray) -> None:
    neutral = speak(denoiser, sound, talking_head.reference_code(denoiser, None))
    for seed in (1, 2):
        styled = speak(denoiser, sound, reference(denoiser, seed), guidance=0.0)
        np.testing.assert_allclose(styled, neutral, atol=1e-5)


def test_only_the_first_frames_of_a_long_reference_count(denoiser: Denoiser) -> None:
    style = np.random.default_rng(0).normal(size=(20, DIMS)).astype(np.float32)
    code = talking_head.reference_code(denoiser, style)
    np.testing.assert_array_equal(code, talking_head.reference_code(denoiser, style[:8]))


def test_seeds_differ_between_clips_and_not_between_runs() -> None:
    assert talking_head.seed_of(0, "a") == talking_head.seed_of(0, "a")
    assert len({talking_head.seed_of(seed, clip) for seed in (0, 1) for clip in ("a", "b")}) == 4
