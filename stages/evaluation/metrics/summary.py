"""From scores of clips to a mean, its interval and its coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

LEVEL = 0.95


def summarise(scores: pd.DataFrame, resamples: int, seed: int) -> dict[str, float]:
    """Means of the numeric columns, as a flat dict.

    `<name>` is the mean over clips, `<name>_low` and `<name>_high` its 95 % percentile bootstrap interval over clips,
    and `<name>_clips` from how many clips it comes: where that is 0, the others are left out. Clips are drawn as if
    independent: with few speakers the interval is too narrow for statements about new speakers.

    Args:
        scores: a row a clip, NaN where a metric could not be computed.
        resamples: bootstrap samples.
        seed: of their draw, the same for every column.
    """
    result: dict[str, float] = {}
    for name in scores.select_dtypes("number"):
        values = scores[name].dropna().to_numpy(dtype=np.float64)
        result[f"{name}_clips"] = float(len(values))
        if len(values):
            low, high = bootstrap_interval(values, resamples, seed)
            result |= {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
    return result


def bootstrap_interval(values: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean of (n,) values (Efron and Tibshirani 1993)."""
    rng = np.random.default_rng(seed)
    means = [rng.choice(values, len(values)).mean() for _ in range(resamples)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def student_interval(values: Sequence[float]) -> dict[str, float]:
    """`mean` of a few values and `low`, `high` of its 95 % Student interval, NaN left out; what is unknown is NaN."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return dict.fromkeys(("mean", "low", "high"), np.nan)
    mean = float(known.mean())
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(known) - 1) * stats.sem(known)) if len(known) > 1 else np.nan
    return {"mean": mean, "low": mean - reach, "high": mean + reach}
