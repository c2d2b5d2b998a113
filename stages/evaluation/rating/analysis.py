"""What the participants' ratings say: means, intervals, and whether the methods differ."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from stages.evaluation.metrics.summary import LEVEL, student_interval
from stages.evaluation.rating.answers import collect, read_key

LOWEST, HIGHEST = 1, 5


@dataclass(frozen=True)
class Results:
    """The ratings in tables.

    Attributes:
        ratings: participant, method, clip_id, aspect, rating.
        means: aspect, method, mean, low, high (95 % Student interval over participants), participants, ratings.
        anova: aspect, f, p, df_between, df_within.
        tukey: aspect, method, other, difference, low, high (95 %, Tukey's), p.
        refused: files left out, and why.
        unfinished: files that count, but rate fewer videos than their participant was to see.
    """

    ratings: pd.DataFrame
    means: pd.DataFrame
    anova: pd.DataFrame
    tukey: pd.DataFrame
    refused: list[str]
    unfinished: list[str]


def analyse(key: Path, files: Sequence[Path], without_style: Collection[str] = ()) -> Results:
    """Evaluate the files that participants sent.

    The unit of all statistics is the participant's mean rating of a method: one person's ratings are not independent of
    each other, so that counting each would find differences where there are none.

    The analysis of variance and Tukey's test take the methods for independent groups, though the same people rate all:
    how mild or strict a person is counts as noise, so that as a rule they find fewer differences than a paired test, as
    the report's table VI has it.

    Args:
        key: *.key.json, as rating-page wrote it.
        files: ratings-*.json, one a participant; of several with one number the one with the most answers counts.
        without_style: methods to which no style can be given; their answers on style are left out (as in the paper,
            which also leaves out the ground truth's).

    Raises:
        ValueError: the key is none, or no file of ratings can be used.
    """
    about = _key(key)
    found, refused = collect(files, lambda path: _read(path, about), "ratings")
    ratings = pd.DataFrame([{"participant": who, **row} for who, (_, rows) in sorted(found.items()) for row in rows])
    ratings = ratings[~((ratings["aspect"] == "style") & ratings["method"].isin(without_style))]
    tables = [_aspect(name, ratings[ratings["aspect"] == name]) for name in about["aspects"]]
    means, anova, tukey = (pd.DataFrame([row for table in tables for row in table[i]]) for i in range(3))
    return Results(ratings.reset_index(drop=True), means, anova, tukey, refused, _unfinished(found.values(), about))


def methods(key: Path) -> set[str]:
    """The methods that a key names. Raises ValueError: the key is none."""
    return {str(video["method"]) for video in _key(key)["videos"].values()}


def per_participant(ratings: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By method: a row a participant, a column an aspect, the participant's mean rating."""
    return {
        str(method): rows.pivot_table("rating", "participant", "aspect", aggfunc="mean")
        for method, rows in ratings.groupby("method")
    }


def _key(path: Path) -> dict:
    return read_key(path, "OUT.key.json, that rating-page", lambda about: "aspects" in about)


def _read(path: Path, about: Mapping) -> tuple[str, list[dict]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["page"] != about["page"]:
        raise ValueError(f"was saved by page {content['page']}; the key is of page {about['page']}")
    rows = []
    for answer in content["ratings"]:
        video = about["videos"].get(answer["code"])
        if video is None:
            raise ValueError(f"rates a video that the page has not: {answer['code']}")
        for aspect in about["aspects"]:
            rating = answer["answers"][aspect]
            if type(rating) is not int or not LOWEST <= rating <= HIGHEST:
                raise ValueError(f"has a rating of {rating!r}; {LOWEST} to {HIGHEST} are possible")
            rows.append({**video, "aspect": aspect, "rating": rating})
    if not rows:
        raise ValueError("has no rating")
    return str(content["participant"]), rows


def _unfinished(found: Iterable[tuple[Path, list[dict]]], about: Mapping) -> list[str]:
    """Sentences; none for a key of before rating-page wrote down how many videos a participant is asked about."""
    asked = about.get("asked", 0)
    rated = [(path, len(rows) // len(about["aspects"])) for path, rows in found]
    return [f"{path.name}: {count} of {asked} videos rated" for path, count in rated if count < asked]


def _aspect(name: str, ratings: pd.DataFrame) -> tuple[list[dict], list[dict], list[dict]]:
    groups = {
        str(method): rows.groupby("participant")["rating"].mean().to_numpy(float)
        for method, rows in ratings.groupby("method", sort=False)
    }
    counts = ratings["method"].value_counts()
    means = [
        {"aspect": name, "method": m, **student_interval(x), "participants": len(x), "ratings": int(counts[m])}
        for m, x in groups.items()
    ]
    alike = not any(np.ptp(x) for x in groups.values())  # all say the same of each method: nothing to test with
    if len(groups) < 2 or min(map(len, groups.values())) < 2 or alike:
        return means, [], []
    f, p = stats.f_oneway(*groups.values())
    total = sum(map(len, groups.values()))
    anova = {"aspect": name, "f": float(f), "p": float(p), "df_between": len(groups) - 1}
    anova["df_within"] = total - len(groups)
    found = stats.tukey_hsd(*groups.values())
    interval = found.confidence_interval(LEVEL)
    names = list(groups)
    tukey = [
        {
            "aspect": name,
            "method": names[i],
            "other": names[j],
            "difference": float(found.statistic[i, j]),
            "low": float(interval.low[i, j]),
            "high": float(interval.high[i, j]),
            "p": float(found.pvalue[i, j]),
        }
        for i, j in combinations(range(len(names)), 2)
    ]
    return means, [anova], tukey
