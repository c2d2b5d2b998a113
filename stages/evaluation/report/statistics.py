"""Means over clips with 95 % intervals, and paired tests between two methods on the same clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from stages.evaluation.metrics.summary import bootstrap_interval


@dataclass(frozen=True)
class Estimate:
    """A mean over clips.

    Attributes:
        mean, low, high: the mean and its 95 % interval, in the metric's unit.
        n: clips that have a value; total: clips that were evaluated.
    """

    mean: float
    low: float
    high: float
    n: int
    total: int

    @property
    def half_width(self) -> float:
        """Half of the interval's width."""
        return (self.high - self.low) / 2


def estimate(values: pd.Series, resamples: int, seed: int) -> Estimate | None:
    """Mean of a column and its 95 % percentile bootstrap interval; None where no clip has a value.

    Args:
        resamples, seed: of the bootstrap, as in the stage `evaluate`.
    """
    known = values.dropna().to_numpy(np.float64)
    if known.size == 0:
        return None
    low, high = bootstrap_interval(known, resamples, seed)
    return Estimate(float(known.mean()), low, high, int(known.size), len(values))


def paired_p(first: pd.Series, second: pd.Series) -> float | None:
    """Two-sided p-value that two methods do equally well, over the clips that both have (indexed by clip).

    Wilcoxon's signed-rank test; where only two values occur, yes and no, McNemar's exact test. None where fewer than
    six clips are in common: no pattern of five could reach p < 0.05. Equal columns give 1.
    """
    both = pd.concat([first, second], axis=1, join="inner").dropna().to_numpy(float)
    if len(both) < 6:
        return None
    difference = np.round(both[:, 0] - both[:, 1], 9)  # equal differences of means differ in their last bits
    if not difference.any():
        return 1.0
    if len(np.unique(both)) == 2:
        wins = int((difference > 0).sum())
        return float(stats.binomtest(wins, int(np.count_nonzero(difference))).pvalue)
    return float(stats.wilcoxon(difference).pvalue)
