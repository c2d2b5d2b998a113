"""What one expects of a system that works, and what the paper claims of its parts, checked on this run's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from stages.evaluation.report.layouts import METRICS
from stages.evaluation.report.statistics import paired_p

SIGNIFICANCE = 0.05
Verdict = Literal["holds", "does not hold", "undecided", "not measured"]
Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Claim:
    """That one variant is better than another by a metric; where a run lacks the first metric, the next stands in.

    Attributes:
        group: the heading it stands under.
    """

    group: str
    text: str
    better: str
    worse: str
    metrics: tuple[str, ...]


WORKS = "Does it work at all?"
PAPER = "The paper's claims"
CLAIMS = (
    Claim(WORKS, "The mouth follows its own sound, not that of another clip", "full", "other_audio", ("m_lmd",)),
    Claim(WORKS, "The mouth is nearer to the truth than a still mean face", "full", "mean_motion", ("m_lmd",)),
    Claim(WORKS, "The whole face is nearer to the truth than a still mean face", "full", "mean_motion", ("f_lmd",)),
    Claim(WORKS, "The reference's style is recognised more often than in a mean face", "full", "mean_motion", ("sa",)),
    Claim(
        PAPER,
        "The style-aware lip expert improves lip sync (IV‑C)",
        "full",
        "no_lip_expert",
        ("sync_conf", "sync_conf_corpus"),
    ),
    Claim(PAPER, "… and brings the mouth nearer to the truth", "full", "no_lip_expert", ("m_lmd",)),
    Claim(PAPER, "A lip expert without style costs expressiveness (IV‑C)", "full", "uncond_lip_expert", ("f_lmd",)),
    Claim(
        PAPER,
        "A style reference of another person costs identity (IV‑B)",
        "full",
        "stranger_style",
        ("csim", "id_sim_corpus"),
    ),
    Claim(
        PAPER,
        "Speaker information improves the predicted style (IV‑C)",
        "predicted_full",
        "predicted_no_speaker_info",
        ("scd",),
    ),
    Claim(
        PAPER,
        "Cross-identity training improves the predicted style (IV‑C)",
        "predicted_full",
        "predicted_no_cross_id",
        ("scd",),
    ),
    Claim(
        PAPER,
        "Diffusion predicts the style better than regression (IV‑C)",
        "predicted_full",
        "predicted_regression",
        ("scd",),
    ),
)


@dataclass(frozen=True)
class Finding:
    """A claim and what this run says about it.

    Attributes:
        compared: by what, and which end is better.
        numbers: the two means as shown, or None.
        p: that they differ by chance.
    """

    group: str
    text: str
    verdict: Verdict
    compared: str = "–"
    numbers: tuple[str, str] | None = None
    p: float | None = None


def check(claim: Claim, per_clip: Mapping[str, pd.DataFrame]) -> Finding:
    """Compare the two variants by the first of the claim's metrics that both have; see :func:`compare`."""
    first, second = (per_clip.get(name, pd.DataFrame()) for name in (claim.better, claim.worse))
    for name in claim.metrics:
        if all(name in frame and frame[name].notna().any() for frame in (first, second)):
            metric = METRICS[name]
            values = (frame[name] * metric.scale for frame in (first, second))
            return compare(claim.group, claim.text, metric.label, *values, better=metric.better, digits=metric.digits)
    return Finding(claim.group, claim.text, "not measured")


def compare(
    group: str, text: str, label: str, first: pd.Series, second: pd.Series, *, better: Better, digits: int
) -> Finding:
    """Is `first` better than `second`, over the clips (their index) that both have?

    "Holds" and "does not hold" need p < 0.05; a smaller difference is "undecided".
    """
    pairs = pd.concat([first, second], axis=1, join="inner").dropna()
    means = pairs.mean().tolist()
    p = paired_p(pairs.iloc[:, 0], pairs.iloc[:, 1])
    ahead = means[0] > means[1] if better == "higher" else means[0] < means[1]
    decided = p is not None and p < SIGNIFICANCE
    verdict: Verdict = ("holds" if ahead else "does not hold") if decided else "undecided"
    arrow = "↑" if better == "higher" else "↓"
    numbers = (f"{means[0]:.{digits}f}", f"{means[1]:.{digits}f}")
    return Finding(group, text, verdict, f"{label}\u00a0{arrow}", numbers, p)
