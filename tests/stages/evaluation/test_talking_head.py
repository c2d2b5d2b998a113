"""From sound and style to expression, with an untrained network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamtalk_models.denoiser import Denoiser
from stages.evaluation import talking_head
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


def test_long_voices_in_pieces_are_the_same(
    denoiser: Denoiser, sound: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = speak(denoiser, sound, reference(denoiser, 0), guidance=2.0)
    monkeypatch.setattr(talking_head, "FRAMES_AT_ONCE", 3)
    pieces = speak(denoiser, sound, reference(denoiser, 0), guidance=2.0)
    assert pieces.shape == (10, DIMS)
    np.testing.assert_allclose(pieces, whole, atol=1e-5)


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
