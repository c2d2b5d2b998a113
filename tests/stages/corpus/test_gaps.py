"""Gaps in tracks."""

from __future__ import annotations

import numpy as np
import pytest

from stages.corpus.gaps import bridged

A, B = np.zeros((478, 3), np.float32), np.ones((478, 3), np.float32)


def test_gaps_lie_on_the_line_between_their_neighbours_and_ends_are_held() -> None:
    values = bridged([None, A, None, None, None, B, None])
    assert values[:, 0, 0].tolist() == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert values.dtype == np.float32 and values.shape == (7, 478, 3)


def test_gaps_may_be_rows_of_nan() -> None:
    track = np.full((5, 478, 3), np.nan, np.float32)
    track[1], track[3] = 10, 20
    assert bridged(track)[:, 7, 1].tolist() == [10, 10, 15, 20, 20]


def test_without_gaps_nothing_changes() -> None:
    assert np.array_equal(bridged([A, B]), np.stack([A, B]))


def test_nothing_but_gaps_is_an_error() -> None:
    with pytest.raises(ValueError, match="absent"):
        bridged([None, None])
