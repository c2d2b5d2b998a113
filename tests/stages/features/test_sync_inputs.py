"""Mouth crops, MFCC and their windows."""

from __future__ import annotations

import numpy as np
import pytest
import python_speech_features

from stages.features import sync_inputs
from stages.features.sync_inputs import audio_windows, face_crops, lip_windows, mfcc, mouth_crops, window_starts


def landmarks(frames: int, shift: np.ndarray | float = 0.0, turn: float = 0.0) -> np.ndarray:
    """Faces 100 px between the outer eye corners, mouth at (128, 150)."""
    points = np.zeros((frames, 478, 3))
    points[..., 0], points[..., 1] = 128, 100
    points[:, 33] = [128 - 50 * np.cos(turn), 80, -50 * np.sin(turn)]
    points[:, 263] = [128 + 50 * np.cos(turn), 80, 50 * np.sin(turn)]
    points[:, 61], points[:, 291] = [103, 150, 0], [153, 150, 0]
    points[:, 10], points[:, 152] = [128, 40, 0], [128, 200, 0]
    points[..., 0] += np.reshape(shift, (-1, 1))
    return points


def picture_with_mouth(centre: tuple[int, int]) -> np.ndarray:
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[centre[1] - 10 : centre[1] + 10, centre[0] - 25 : centre[0] + 25] = (200, 50, 20)
    return picture


def test_the_mouth_lies_in_the_middle_at_the_declared_scale():
    crops = mouth_crops(np.stack([picture_with_mouth((128, 150))] * 3), landmarks(3), 50)
    rows, columns = np.nonzero(crops[1, ..., 0] > 100)
    assert crops.shape == (3, 50, 50, 3)
    assert (rows.mean(), columns.mean()) == pytest.approx((24.5, 24.5), abs=0.6)
    assert np.ptp(columns) + 1 == pytest.approx(25, abs=1)  # 50 px of a 100 px square, at half size


def test_a_lost_frame_does_not_shake_the_crop_and_turning_does_not_zoom():
    frames = np.stack([picture_with_mouth((128, 150))] * 9)
    shift = np.zeros(9)
    shift[4] = 40
    assert np.array_equal(mouth_crops(frames, landmarks(9, shift), 50), mouth_crops(frames, landmarks(9), 50))
    assert np.array_equal(mouth_crops(frames, landmarks(9, turn=1.0), 50), mouth_crops(frames, landmarks(9), 50))


def test_flat_landmarks_and_faces_at_the_border_are_accepted():
    frames = np.stack([picture_with_mouth((128, 150))] * 2)
    flat = landmarks(2, 130).reshape(2, -1)
    assert mouth_crops(frames, flat, 64).shape == face_crops(frames, flat, 64).shape == (2, 64, 64, 3)
    with pytest.raises(ValueError, match="1 sets of landmarks for 2 frames"):
        mouth_crops(frames, flat[:1], 64)


def test_face_crops_follow_the_published_box():
    marked = np.zeros((1, 256, 256, 3), np.uint8)
    marked[:, 152 - 112 : 152 + 112, 128 - 112 : 128 + 112] = 255  # box 40..200, b = 80: 2.8 b, 0.4 b below 120
    crops = face_crops(marked, landmarks(1), 224)
    assert crops[0, 1:-1, 1:-1].min() == 255


def test_mfcc_equals_the_library_and_stands_beside_the_frames():
    samples = (np.random.default_rng(0).standard_normal(16000) * 0.1).astype(np.float32)
    steps = mfcc(samples, 16000)
    assert steps.shape == (100, 13) and steps.dtype == np.float32
    direct = python_speech_features.mfcc(samples * 32768.0, 16000)
    np.testing.assert_allclose(steps[:98], direct[:98], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("count", [0, 100, 5000, 16001])
def test_mfcc_has_four_rows_for_every_frame_wanted(count: int):
    assert mfcc(np.zeros(count, np.float32), 16000, frames=7).shape == (28, 13)
    assert np.isfinite(mfcc(np.zeros(count, np.float32), 16000, frames=7)).all()


def test_windows_pair_five_frames_with_their_twenty_steps():
    crops = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.array([1, 2, 3], np.uint8) * np.ones((1, 4, 4, 1))
    steps = np.repeat(np.arange(32, dtype=np.float32)[:, None], sync_inputs.CEPSTRA, 1)
    starts = window_starts(8)
    assert list(starts) == [0, 1, 2, 3]
    lips, sound = lip_windows(crops.astype(np.uint8), starts), audio_windows(steps, starts)
    assert lips.shape == (4, 3, 5, 4, 4) and sound.shape == (4, 1, 13, 20)
    assert lips[2, :, 1, 0, 0].tolist() == [9, 6, 3]  # frame 3, BGR
    assert sound[2, 0, 0].tolist() == list(range(8, 28))
    assert len(window_starts(4)) == 0
