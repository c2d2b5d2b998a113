"""Landmark distances."""

from __future__ import annotations

import numpy as np
import pytest

from stages.evaluation.metrics import landmark_distance as lmd

RNG = np.random.default_rng(0)


@pytest.fixture
def face() -> np.ndarray:
    return RNG.uniform(0, 256, (6, 68, 2))


def test_a_face_against_itself_and_against_itself_elsewhere_is_zero(face: np.ndarray):
    moved = face + RNG.normal(0, 30, (6, 1, 2))
    for distance in (lmd.f_lmd, lmd.m_lmd, lmd.m_lmd_sum):
        np.testing.assert_allclose(distance(face, face), 0, atol=1e-9)
        np.testing.assert_allclose(distance(face, moved), 0, atol=1e-9)


def test_distances_by_hand(face: np.ndarray):
    wrong = face.copy()
    wrong[:, 60] += [0, 20]  # one mouth point by 20 px: after centring it is off by 19, the 19 others by 1
    np.testing.assert_allclose(lmd.m_lmd_sum(face, wrong), 19 + 19 * 1)
    np.testing.assert_allclose(lmd.m_lmd(face, wrong), 38 / 20)
    np.testing.assert_allclose(lmd.f_lmd(face, wrong), (20 * 67 / 68 + 67 * 20 / 68) / 68)


def test_points_outside_the_mouth_do_not_touch_the_mouth_distance(face: np.ndarray):
    wrong = face.copy()
    wrong[:, :48] += RNG.normal(0, 9, (6, 48, 2))
    np.testing.assert_allclose(lmd.m_lmd(face, wrong), 0, atol=1e-9)
    assert (lmd.f_lmd(face, wrong) > 1).all()


def test_frames_without_a_face_are_unknown_and_counted(face: np.ndarray):
    lost = face.copy()
    lost[2] = np.nan
    assert np.isnan(lmd.m_lmd(face, lost)).tolist() == [False, False, True, False, False, False]
    assert lmd.face_rate(lost) == pytest.approx(5 / 6)
    assert lmd.face_rate(lost[:0]) == 0


def test_the_68_points_come_from_the_mesh():
    mesh = RNG.uniform(0, 256, (2, 478, 3))
    mesh[1] = np.nan
    points = lmd.landmarks68(mesh)
    assert points.shape == (2, 68, 2) and np.isnan(points[1]).all()
    np.testing.assert_allclose(points[0, [8, 36, 48, 54]], mesh[0, [152, 33, 61, 291], :2])
    np.testing.assert_allclose(points[0, 3], mesh[0, [132, 58], :2].mean(0))


def test_mouth_opening_correlation():
    opening = np.sin(np.linspace(0, 9, 50))
    truth, slow, still = (np.zeros((50, 68, 2)) for _ in range(3))
    truth[:, 66, 1] = 5 + 4 * opening
    slow[:, 66, 1] = 20 + 2 * opening
    still[:, 66, 1] = 7
    assert lmd.mouth_opening_correlation(truth, slow) == pytest.approx(1)
    slow[:, 66, 1] = 20 - 2 * opening
    assert lmd.mouth_opening_correlation(truth, slow) == pytest.approx(-1)
    assert np.isnan(lmd.mouth_opening_correlation(truth, still))
