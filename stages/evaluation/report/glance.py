"""Our numbers and the paper's on one small table: DreamTalk beside the ground truth, here and there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from stages.evaluation.report.layouts import METRICS, Metric

ROWS = ("ssim", "cpbd", "f_lmd", "m_lmd", "sync_conf", "sync_conf_corpus", "sa", "csim", "id_sim_corpus")
STANDS_BESIDE = {"sync_conf_corpus": "sync_conf", "id_sim_corpus": "csim"}
"""Another judge's number, so only its place between the ends compares."""
STRANGERS = {"csim": "stranger_style", "id_sim_corpus": "stranger_style"}
"""Where the paper's style references, and so ours, show another person."""
CORPORA = ("MEAD", "HDTF", "VoxCeleb2")


@dataclass(frozen=True)
class Line:
    """A metric: this run's model and ground truth, the paper's on its corpora, as shown; a dash where there is none.

    Attributes:
        gap: how far the model stays from its ground truth, here and in the paper's MEAD, in percent of the truth; None
            where the truth's value is the metric's end (SSIM 1, LMD 0).
    """

    metric: Metric
    ours: str
    truth: str
    published: tuple[str, ...]
    published_truth: str
    gap: tuple[str, str] | None


def lines(per_clip: Mapping[str, pd.DataFrame], published: Mapping[str, Sequence[Mapping]]) -> list[Line]:
    """A line for every metric of :data:`ROWS` that this run or the paper has."""
    theirs: dict[tuple, dict] = {}
    for row in (*published["table_1"], *published["table_2"]):
        theirs.setdefault((row["method"], row["corpus"]), {}).update(row)
    return [line for name in ROWS if (line := _line(METRICS[name], per_clip, theirs))]


def _line(metric: Metric, per_clip: Mapping[str, pd.DataFrame], theirs: Mapping[tuple, Mapping]) -> Line | None:
    model = STRANGERS.get(metric.column, "full")
    ours, truth = (_mean(per_clip.get(variant), metric) for variant in (model, "ground_truth"))
    column = STANDS_BESIDE.get(metric.column, metric.column)
    shown = [theirs.get(("DreamTalk", corpus), {}).get(column) for corpus in CORPORA]
    their_truth = theirs.get(("Ground truth", "MEAD"), {}).get(column)
    if ours is None and (metric.column in STANDS_BESIDE or not any(shown)):
        return None
    here, there = _gap(ours, truth), _gap(shown[0], their_truth)
    own_scale = metric.column in STANDS_BESIDE
    return Line(
        metric,
        _shown(ours, metric.digits),
        _shown(truth, metric.digits),
        tuple("–" if own_scale else _shown(value, min(metric.digits, 2)) for value in shown),
        "–" if own_scale else _shown(their_truth, min(metric.digits, 2)),
        (here, there) if here and there else None,
    )


def _mean(frame: pd.DataFrame | None, metric: Metric) -> float | None:
    if frame is None or metric.column not in frame or frame[metric.column].isna().all():
        return None
    return float(frame[metric.column].mean() * metric.scale)


def _gap(value: float | None, truth: float | None) -> str:
    if value is None or not truth or truth == 1:
        return ""
    return f"{100 * (value - truth) / abs(truth):+.0f} %"


def _shown(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
