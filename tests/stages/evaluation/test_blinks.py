"""Blinks come as often and as fast as people's, and never twice at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamtalk_models.closures import EYES, Closure
from stages.evaluation.blinks import blinking, closing, starts
from stages.params import Blink
from tests.stages.evaluation import talking

SETTINGS = Blink(per_minute=26.0, spread=0.6, closing_s=0.1, closed_s=0.04, opening_s=0.2)


def test_rate_and_pauses_are_those_of_people() -> None:
    begun = np.array(starts(3600, SETTINGS, np.random.default_rng(0)))
    assert len(begun) / 60 == pytest.approx(26, rel=0.1)
    pauses = np.diff(begun)
    assert pauses.min() > 0.33
    assert np.median(pauses) < pauses.mean()  # many short, few long
    assert begun[-1] + 0.34 <= 3600
    assert starts(0.2, SETTINGS, np.random.default_rng(0)) == []


def test_lids_close_faster_than_they_open() -> None:
    track = closing([0.2], 1000, 1000, SETTINGS)
    closed = np.flatnonzero(track == 1)
    assert len(closed) == pytest.approx(40, abs=2)
    assert track[:200].max() == 0
    assert closed[0] - 200 == pytest.approx(100, abs=2)
    assert np.flatnonzero(track)[-1] - closed[-1] == pytest.approx(200, abs=2)


def test_a_face_that_blinks_by_itself_is_left_alone() -> None:
    model = talking.lively_model(talking.face()[1])
    eyes = Closure(model, torch.zeros(model.identity_dim), EYES)
    still = np.zeros((500, model.expression_dim), np.float32)
    once = blinking(still, eyes, 25, SETTINGS, seed=3)
    opening = eyes.gap(torch.from_numpy(once)).mean(1)
    assert opening.min() < 0.2 * opening.max()
    np.testing.assert_array_equal(once, blinking(still, eyes, 25, SETTINGS, seed=3))
    assert np.abs(once - blinking(still, eyes, 25, SETTINGS, seed=4)).max() > 0
    np.testing.assert_array_equal(blinking(once, eyes, 25, SETTINGS, seed=3), once)
