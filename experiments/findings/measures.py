"""What the trainings and the report of a study measured, one number a seed."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stages.evaluation.metrics.summary import student_interval

LOSS = 0.05  # of lip agreement: more, and a guidance scale has cost lip sync


def per_seed(
    results: pd.DataFrame, stage: str, metric: str, variant: str = "", setting: str | None = None
) -> pd.Series:
    """One number of each seed, indexed by seed. Raises KeyError where the study has none."""
    chosen = (results["stage"] == stage) & (results["metric"] == metric) & (results["variant"].fillna("") == variant)
    if setting is not None:
        chosen &= results["setting"] == setting
    if not chosen.any():
        raise KeyError(f"{stage} {variant} {metric}")
    return results[chosen].set_index("seed")["value"].sort_index()


def gap(results: pd.DataFrame, metric: str, worse: str, better: str, setting: str | None = None) -> dict[str, float]:
    """By how much one style predictor's code distance exceeds another's: mean and 95 % interval over seeds."""
    values = [per_seed(results, "train_style_predictor", metric, name, setting) for name in (worse, better)]
    return student_interval(values[0] - values[1]) | {
        "worse": values[0].mean(),
        "better": values[1].mean(),
        "seeds": len(values[0]),
    }


def change(results: pd.DataFrame, metric: str, worse: str, better: str, settings: Sequence[str]) -> dict[str, float]:
    """By how much a gap is larger under the first setting than under the last: mean and 95 % interval over seeds."""
    with_it, without = (
        per_seed(results, "train_style_predictor", metric, worse, setting)
        - per_seed(results, "train_style_predictor", metric, better, setting)
        for setting in (settings[0], settings[-1])
    )
    return student_interval(with_it - without)


def clusters(results: pd.DataFrame) -> dict[str, pd.Series]:
    """Figure 13 as numbers of each seed: purity and silhouette of style codes by speaker and by emotion."""
    names = [f"style_{kind}/{label}" for kind in ("purity", "silhouette") for label in ("speaker", "emotion")]
    return {name: per_seed(results, "report", name) for name in names}


def sweep(results: pd.DataFrame) -> pd.DataFrame:
    """Figure 14 as numbers: scale, seed, intensity (%), share (of the way to the true mean face), lips (correlation of
    the mouth's opening with the true one).

    Raises KeyError where the study has none.
    """
    part = results[results["stage"] == "report"].set_index("metric")
    scales = sorted(float(name.partition("@")[2]) for name in set(part.index) if name.startswith("intensity@"))
    names = {"intensity": "intensity", "share": "style_share", "lips": "lip_agreement"}
    rows = []
    for scale in scales:
        measured = {column: per_seed(results, "report", f"{name}@{scale:g}") for column, name in names.items()}
        rows += pd.DataFrame(measured).reset_index().assign(scale=scale).to_dict("records")
    if not rows:
        raise KeyError("report intensity")
    return pd.DataFrame(rows)[["scale", "seed", *names]]


def towards(found: pd.DataFrame) -> dict[str, float]:
    """By how much the share at the largest scale exceeds that at ω = 1: mean and 95 % interval over seeds."""
    share = found.pivot(index="scale", columns="seed", values="share")
    return student_interval(share.loc[share.index.max()] - share.loc[1.0])


def limits(found: pd.DataFrame) -> pd.Series:
    """Of each seed the largest scale up to which lip agreement stays within LOSS of that at ω = 1."""
    lips = found.pivot(index="scale", columns="seed", values="lips")
    kept = (lips >= lips.loc[1.0] - LOSS) | (lips.index.to_numpy()[:, None] < 1)
    return kept.cumprod().apply(lambda column: column[column == 1].index.max())
