"""Intervals of means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from stages.evaluation.metrics.summary import student_interval


def test_students_interval_is_the_one_of_the_t_test() -> None:
    values = np.random.default_rng(0).normal(3, 2, 9)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert student_interval([*values, math.nan]) == pytest.approx(
        {"mean": values.mean(), "low": expected.low, "high": expected.high}
    )


def test_values_that_agree_have_no_width_and_one_has_no_interval() -> None:
    assert student_interval([2.0, 2.0, 2.0]) == {"mean": 2.0, "low": 2.0, "high": 2.0}
    alone = student_interval([2.0])
    assert alone["mean"] == 2.0 and math.isnan(alone["low"]) and math.isnan(alone["high"])
    assert all(map(math.isnan, student_interval([]).values()))
