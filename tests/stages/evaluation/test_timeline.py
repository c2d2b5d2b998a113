"""Styles and intensities over time, as users write them."""

from __future__ import annotations

import numpy as np
import pytest

from stages.evaluation.inputs import InputError
from stages.evaluation.timeline import Cue, at, cues, numbers, weights


def test_cues_are_read_in_order_of_time() -> None:
    assert cues("auto", "style") == [Cue(0.0, "auto")]
    assert cues("a=b.mp4", "style") == [Cue(0.0, "a=b.mp4")]
    assert cues("happy clip.mp4; 9 = sad/3;4.5=angry.mat", "style") == [
        Cue(0.0, "happy clip.mp4"),
        Cue(4.5, "angry.mat"),
        Cue(9.0, "sad/3"),
    ]
    assert cues("2=sad/3", "style") == [Cue(0.0, "sad/3")]  # there is no other before it
    track = numbers("1; 4.5=2", "intensity")
    assert [at(time, track) for time in (0, 4.4, 4.5, 100)] == [1, 1, 2, 2]


@pytest.mark.parametrize("text", ["", ";", "a;;b", "1=a;1=b", "a;b"])
def test_texts_that_are_no_cues(text: str) -> None:
    with pytest.raises(InputError, match="style"):
        cues(text, "style")


@pytest.mark.parametrize("text", ["-1", "x", "nan", "inf", "11", "1;2=-3"])
def test_values_that_are_no_intensities(text: str) -> None:
    with pytest.raises(InputError, match="from 0 to 10"):
        numbers(text, "intensity")


def test_each_part_gives_way_smoothly_to_the_next() -> None:
    share = weights([0.0, 1.0, 1.2, 3.0, 90.0], 100, 25, 0.5)
    np.testing.assert_allclose(share.sum(0), 1)
    assert share.min() >= 0
    assert np.abs(np.diff(share, axis=1)).max() < 0.15
    assert share[0, :18].min() == 1
    assert share[2, 40:65].min() == 1
    assert share[3, -1] == 1
    assert share[4].max() == 0
