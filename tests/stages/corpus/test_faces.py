"""Landmarks in pixels, the same however the picture is placed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stages.corpus.faces import FaceDetector, FaceMesh, box, edge, overlap


@pytest.fixture(scope="module")
def mesh():
    with FaceMesh(static=True) as mesh:
        yield mesh


def test_landmarks_are_in_pixels_of_any_picture(mesh, face):
    plain = mesh.landmarks(face)
    assert plain.shape == (478, 3) and plain.dtype == np.float32
    wide = cv2.copyMakeBorder(face, 30, 10, 40, 200, cv2.BORDER_REPLICATE)
    moved = mesh.landmarks(wide)
    assert np.abs(moved[:, :2] - plain[:, :2] - [40, 30]).mean() < 0.02 * edge(box(plain))
    double = mesh.landmarks(cv2.resize(face, None, fx=2, fy=2))
    assert np.abs(double - 2 * plain).mean() < 0.04 * edge(box(plain))


def test_no_face(mesh):
    assert mesh.landmarks(np.full((100, 80, 3), 90, np.uint8)) is None


def test_faces_down_to_a_tenth_of_the_picture_largest_first(face):
    picture = np.full((540, 960, 3), 110, np.uint8)
    small = cv2.resize(face, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)  # the face: 55 px
    picture[300:412, 700:812] = small
    with FaceDetector() as detector:
        (found,) = detector.boxes(picture)
        assert 40 < edge(found) < 75
        assert overlap(found, np.array([730, 320, 785, 375])) > 0.3
        picture[20:244, 100:324] = face
        boxes = detector.boxes(picture)
    assert edge(boxes[0]) > 80 and boxes[0][2] < 324


def test_overlap():
    a = np.array([0, 0, 2, 2])
    assert overlap(a, a) == 1
    assert overlap(a, a + 1) == pytest.approx(1 / 7)
    assert overlap(a, a + 5) == 0
