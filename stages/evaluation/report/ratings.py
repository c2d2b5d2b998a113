"""The section on the user study (the paper's table VI)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from stages.evaluation.rating.analysis import per_participant
from stages.evaluation.report.layouts import METRICS
from stages.evaluation.report.page import p_value
from stages.evaluation.report.results import Absent, Results


def rated(results: Results) -> dict[str, pd.DataFrame]:
    """By method: a row a participant, a column an aspect; empty without ratings."""
    return {} if isinstance(results.rating, Absent) else per_participant(results.rating.ratings)


def section(results: Results) -> dict[str, Any] | Absent:
    """The analysis of variance, and which methods differ."""
    found = results.rating
    if isinstance(found, Absent):
        return found
    anova = _shown(found.anova, {"f": "F", "df_between": "degrees of freedom between", "df_within": "within"})
    tukey = _shown(found.tukey, {"method": "first", "other": "second", "low": "from", "high": "to"})
    return {
        "participants": found.ratings["participant"].nunique(),
        "ratings": len(found.ratings),
        "anova": anova,
        "tukey": tukey,
        "refused": found.refused,
        "unfinished": found.unfinished,
    }


def _shown(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    if table.empty:
        return table
    shown = table.assign(
        aspect=[METRICS[name].label for name in table["aspect"]], p=[p_value(value) for value in table["p"]]
    )
    return shown.rename(columns=names)
