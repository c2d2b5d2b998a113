"""What the participants of a preference test chose: a share, its interval, and whether it is chance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from stages.evaluation.metrics.summary import LEVEL, student_interval
from stages.evaluation.rating.answers import collect, read_key

SIDES = ("left", "right")


@dataclass(frozen=True)
class Preference:
    """How often the first of two methods was chosen.

    Attributes:
        first, second: the methods. choices: participant, clip_id, method (the chosen one), side.
        share: of the choices, in 0..1.
        low, high: its 95 % interval, the wider of two: Student's of the participants' own shares, because one person's
            choices are not independent of each other, and the exact binomial one (Clopper and Pearson 1934), because
            few participants may agree by chance.
        prefer_first, prefer_second: participants who chose the one more often than the other.
        p: of the sign test over these participants, two-sided.
        left: share of choices that fell on the left side; 0.5 where the side does not matter.
        refused: files left out, and why. unfinished: files that count, but hold fewer choices than pairs were asked.
    """

    first: str
    second: str
    choices: pd.DataFrame
    share: float
    low: float
    high: float
    prefer_first: int
    prefer_second: int
    p: float
    left: float
    refused: list[str]
    unfinished: list[str]

    @property
    def numbers(self) -> dict[str, float | int | str]:
        """All but the choices themselves and the files, to be printed."""
        names = ("first", "second", "share", "low", "high", "prefer_first", "prefer_second", "p", "left")
        return {name: getattr(self, name) for name in names} | {"choices": len(self.choices)}


def analyse(key: Path, files: Sequence[Path]) -> Preference:
    """Evaluate the files that participants sent.

    Args:
        key: *.pairs.json, as preference-page wrote it.
        files: choices-*.json, one a participant; of several with one number the one with the most answers counts.

    Raises:
        ValueError: the key is none, or no file of choices can be used.
    """
    about = _key(key)
    found, refused = collect(files, lambda path: _read(path, about), "choices")
    choices = pd.DataFrame([{"participant": who, **row} for who, (_, rows) in sorted(found.items()) for row in rows])
    first, second = about["methods"]
    won = choices["method"] == first
    shares = won.groupby(choices["participant"]).mean()
    people = student_interval(shares)
    single = stats.binomtest(int(won.sum()), len(won)).proportion_ci(LEVEL, method="exact")
    ahead, behind = int((shares > 0.5).sum()), int((shares < 0.5).sum())
    return Preference(
        first=first,
        second=second,
        choices=choices,
        share=float(won.mean()),
        low=float(max(np.nanmin([people["low"], single.low]), 0)),
        high=float(min(np.nanmax([people["high"], single.high]), 1)),
        prefer_first=ahead,
        prefer_second=behind,
        p=float(stats.binomtest(ahead, ahead + behind).pvalue) if ahead + behind else 1.0,
        left=float((choices["side"] == "left").mean()),
        refused=refused,
        unfinished=[
            f"{path.name}: {len(rows)} of {about['asked']} pairs judged"
            for path, rows in found.values()
            if len(rows) < about["asked"]
        ],
    )


def _key(path: Path) -> dict:
    return read_key(
        path, "OUT.pairs.json, that preference-page", lambda about: "asked" in about and len(about["methods"]) == 2
    )


def _read(path: Path, about: Mapping) -> tuple[str, list[dict]]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["page"] != about["page"]:
        raise ValueError(f"was saved by page {content['page']}; the key is of page {about['page']}")
    rows: list[dict] = []
    for answer in content["choices"]:
        video = about["videos"].get(answer["chosen"])
        if video is None:
            raise ValueError(f"chose a video that the page has not: {answer['chosen']}")
        if answer["side"] not in SIDES:
            raise ValueError(f"has the side {answer['side']!r}; left and right are possible")
        if video["clip_id"] in {row["clip_id"] for row in rows}:
            raise ValueError(f"judges {video['clip_id']} twice")
        rows.append({**video, "side": answer["side"]})
    if not rows:
        raise ValueError("has no choice")
    return str(content["participant"]), rows
