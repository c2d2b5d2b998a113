"""Pose tracks of any length, on any head."""

from __future__ import annotations

import numpy as np
import pytest

from stages.evaluation.motion import Pose, follow, still, there_and_back, to_length


def test_there_and_back_never_jumps_and_starts_at_the_start() -> None:
    index = there_and_back(5, 20)
    assert index[:9].tolist() == [0, 1, 2, 3, 4, 3, 2, 1, 0]
    assert np.abs(np.diff(index)).max() == 1
    assert there_and_back(1, 3).tolist() == [0, 0, 0]
    assert there_and_back(9, 4).tolist() == [0, 1, 2, 3]


def test_velocity_does_not_jump_at_the_turns() -> None:
    place = there_and_back(50, 400, turn=10)
    np.testing.assert_allclose(place[:35], np.arange(35))
    assert np.abs(np.diff(place, 2)).max() < 2 / 20
    assert place.min() >= 0
    assert place.max() <= 49
    for length in (2, 3, 7):
        assert len(there_and_back(length, 30, turn=10)) == 30


def test_following_starts_where_the_head_is_and_scales_with_it() -> None:
    track = Pose(np.float32([[0.5, 0, 0], [0.6, 0, 0]]), np.float32([[10, 20, 3], [14, 18, 3.1]]))
    own = np.float32([0, 0, 0.1]), np.float32([100, 100, 3 + np.log(2)])
    carried = follow(*own, track)
    np.testing.assert_allclose(carried.angles, [[0, 0, 0.1], [0.1, 0, 0.1]], atol=1e-6)
    np.testing.assert_allclose(carried.translation[0], own[1], rtol=1e-6)
    np.testing.assert_allclose(carried.translation[1], own[1] + (8, -4, 0.1), rtol=1e-6)


def test_a_head_follows_its_own_track_exactly() -> None:
    generator = np.random.default_rng(0)
    track = Pose(generator.normal(size=(6, 3)), generator.normal(size=(6, 3)))
    carried = follow(track.angles[0], track.translation[0], track)
    np.testing.assert_allclose(carried.angles, track.angles, atol=1e-6)
    np.testing.assert_allclose(carried.translation, track.translation, atol=1e-6)


@pytest.mark.parametrize("frames", [2, 30])
def test_any_length(frames: int) -> None:
    track = Pose(np.zeros((7, 3)), np.zeros((7, 3)))
    assert len(to_length(track, frames)) == frames
    assert len(still(np.zeros(3), np.zeros(3), frames)) == frames
