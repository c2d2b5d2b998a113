"""Reading photographs and finding the face in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.evaluation.inputs import InputError
from stages.evaluation.portrait import find_face, read_picture, resized, square_round
from tests.stages.evaluation import talking


@pytest.fixture(scope="module")
def face() -> tuple[np.ndarray, np.ndarray]:
    return talking.face()


def test_transparency_becomes_white_and_16_bits_become_8(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    assert (read_picture(tmp_path / "clear.png") == 255).all()
    ramp = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    picture = read_picture(tmp_path / "deep.png")
    assert picture.shape == (8, 8, 3)
    assert (picture.min(), picture.max()) == (0, 255)


def test_truncated_picture_is_named(tmp_path: Path, face: tuple[np.ndarray, np.ndarray]) -> None:
    Image.fromarray(face[0]).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:3000])
    with pytest.raises(InputError, match=r"cut\.jpg is damaged"):
        read_picture(tmp_path / "cut.jpg")


def test_a_page_description_is_no_photograph_whatever_its_name(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "page.eps")  # to be drawn by a program of its own
    (tmp_path / "page.eps").rename(tmp_path / "me.jpg")
    with pytest.raises(InputError, match=r"me\.jpg is not a picture that can be read; give a JPEG"):
        read_picture(tmp_path / "me.jpg")


@pytest.mark.parametrize(
    ("shape", "expected"), [((400, 301), (200, 150)), ((60, 31), (256, 132)), ((200, 200), (200, 200))]
)
def test_size_is_even_and_within_limits(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized(np.zeros((*shape, 3), np.uint8), max(200, *expected)).shape == (*expected, 3)


def test_largest_of_two_faces(face: tuple[np.ndarray, np.ndarray]) -> None:
    picture, landmarks = face
    small = np.asarray(Image.fromarray(picture).resize((180, 180)))
    group = np.full((256, 512, 3), 128, np.uint8)
    group[40:220, 20:200] = small
    group[:, 256:] = picture
    found, count = find_face(group, "group")
    assert count == 2
    assert np.abs(found[:, :2] - (landmarks[:468, :2] + (256, 0))).mean() < 3


def test_small_face_in_a_large_picture(face: tuple[np.ndarray, np.ndarray]) -> None:
    picture, landmarks = face
    large = np.full((1400, 1000, 3), 128, np.uint8)
    large[900:1156, 600:856] = picture
    found, _ = find_face(large, "large")
    assert np.abs(found[:, :2] - (landmarks[:468, :2] + (600, 900))).mean() < 3


def test_square_round_a_face_frames_it(face: tuple[np.ndarray, np.ndarray]) -> None:
    picture, landmarks = face
    square = square_round(picture, landmarks, margin=0.25, size=128)
    found, _ = find_face(square, "square")
    extent = np.ptp(found[:, :2], axis=0).max()
    assert square.shape == (128, 128, 3)
    assert extent == pytest.approx(128 / 1.5, rel=0.06)
    np.testing.assert_allclose((found[:, :2].min(0) + found[:, :2].max(0)) / 2, 64, atol=4)
