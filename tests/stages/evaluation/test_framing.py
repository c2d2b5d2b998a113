"""What of a photograph is filmed, and how a square gets back into it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from stages import params
from stages.evaluation.framing import drawn_view, pasted, view
from stages.evaluation.portrait import square_matrix, square_round
from tests.stages.evaluation import talking


@pytest.fixture(scope="module")
def large() -> tuple[np.ndarray, np.ndarray]:
    """The face in a wide photograph, and its landmarks."""
    picture, landmarks = talking.face()
    wide = np.full((700, 1000, 3), 120, np.uint8)
    wide[200:456, 500:756] = picture
    return wide, landmarks[:468] + np.float32([500, 200, 0])


def test_the_face_is_cut_out_or_all_is_shown(large: tuple[np.ndarray, np.ndarray]) -> None:
    square = view(large[0], "wide.png", "face", 512, 0.8)
    assert square.size[0] == square.size[1] <= 512
    assert square.whole is None
    middle = square.landmarks[:, :2].mean(0) / square.size
    np.testing.assert_allclose(middle, 0.5, atol=0.12)
    whole = view(large[0], "wide.png", "picture", 512, 0.8)
    assert whole.size == (512, 358)
    np.testing.assert_allclose(whole.landmarks[:, :2].mean(0) / 0.512, large[1][:, :2].mean(0), atol=6)
    assert square.face_px == pytest.approx(np.ptp(large[1][:, 0]), rel=0.1)


def test_a_small_face_in_a_large_photograph_is_found(root: Path) -> None:
    picture, landmarks = talking.face()
    edge = 200
    wide = np.full((3000, 4000, 3), 120, np.uint8)
    wide[1700 : 1700 + edge, 2500 : 2500 + edge] = cv2.resize(picture, (edge, edge), interpolation=cv2.INTER_AREA)
    expected = landmarks[:468, :2].mean(0) * edge / len(picture) + (2500, 1700)
    seen = view(wide, "wide.png", "picture", 512, 0.8)
    np.testing.assert_allclose(seen.landmarks[:, :2].mean(0) * 4000 / 512, expected, atol=20)
    assert (seen.faces, seen.face_px) == (1, pytest.approx(np.ptp(landmarks[:, 0]) * edge / len(picture), rel=0.1))
    crop = params.load(root / "params.yaml").crop
    assert np.ptp(drawn_view(wide, "wide.png", "face", 256, crop).landmarks[:, 0]) > 100


def test_a_face_too_small_to_be_found_again_stays_where_it_was(large: tuple[np.ndarray, np.ndarray]) -> None:
    tiny = view(large[0], "wide.png", "picture", 64, 0.8)
    np.testing.assert_allclose(tiny.landmarks[:, :2] / 0.064, large[1][:, :2], atol=40)


def test_drawn_faces_are_shown_no_larger_than_asked_for(large: tuple[np.ndarray, np.ndarray], root: Path) -> None:
    crop = params.load(root / "params.yaml").crop
    for frame, asked, expected in (("face", 128, (128, 128)), ("face", 512, (256, 256)), ("picture", 500, (500, 350))):
        seen = drawn_view(large[0], "wide.png", frame, asked, crop)
        assert seen.picture.shape == (256, 256, 3)
        shown = list(seen.film([seen.picture] * 2))
        assert [picture.shape[1::-1] for picture in shown] == [seen.size] * 2 == [expected] * 2


def test_a_square_goes_back_where_it_was(large: tuple[np.ndarray, np.ndarray]) -> None:
    picture, landmarks = large
    square = square_round(picture, landmarks, 0.25, 256)
    matrix = square_matrix(landmarks, 0.25, 256)
    frames = list(pasted([square, np.zeros_like(square)], picture, matrix))
    assert np.abs(frames[0].astype(int) - picture).mean() < 1
    changed = np.abs(frames[1].astype(int) - picture).max(2) > 0
    assert 0.02 < changed.mean() < 0.3
    inside = (matrix @ np.c_[np.argwhere(changed)[:, ::-1], np.ones(changed.sum())].T).T
    assert inside.min() > -1
    assert inside.max() < 257
