from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from stages.evaluation.metrics.summary import summarise
from stages.evaluation.report.statistics import estimate, paired_p


def test_estimate_is_the_one_of_evaluate() -> None:
    scores = pd.DataFrame({"ssim": [0.5, 0.7, np.nan, 0.9]})
    found, summary = estimate(scores["ssim"], 200, 3), summarise(scores, 200, 3)
    assert (found.mean, found.low, found.high) == (summary["ssim"], summary["ssim_low"], summary["ssim_high"])
    assert (found.n, found.total) == (3, 4)
    assert found.half_width == pytest.approx((found.high - found.low) / 2)


def test_estimate_of_nothing_is_none() -> None:
    assert estimate(pd.Series([np.nan, np.nan]), 10, 0) is None


def test_paired_p_finds_a_small_but_steady_difference() -> None:
    rng = np.random.default_rng(0)
    clip = pd.Series(rng.normal(size=20) * 10)
    better = clip + 0.1 + 0.01 * rng.normal(size=20)
    assert paired_p(clip, better) < 0.001
    assert paired_p(clip, clip[::-1]) == 1.0  # joined by clip, not by place


def test_paired_p_of_yes_and_no_is_mcnemars() -> None:
    first = pd.Series([1.0] * 8 + [0.0] * 2)
    second = pd.Series([0.0] * 8 + [0.0] * 2)
    assert paired_p(first, second) == pytest.approx(2 * 0.5**8)


def test_paired_p_needs_six_common_clips() -> None:
    first = pd.Series(np.arange(6.0))
    assert paired_p(first, first[:5] + 1) is None
    assert paired_p(first, 1.1 * first + 1) == pytest.approx(2 * 0.5**6)


def test_equal_differences_of_means_are_ties_whatever_their_last_bits() -> None:
    first, second = pd.Series([1, 2, 1, 3, 3, 2, 0, 0]), pd.Series([0, 1, 2, 2, 2, 1, 0, 1])
    assert paired_p(first * (100 / 3), second * (100 / 3)) == pytest.approx(paired_p(first, second), rel=1e-9)
