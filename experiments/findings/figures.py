"""The page's two pictures."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from experiments.findings.claims import Comparison
from stages.evaluation.report.layouts import METRICS


def forest(found: Sequence[Comparison]) -> Figure:
    """Each claim's difference with its interval, in parts of the second side's value; right of zero speaks for it."""
    figure = Figure(figsize=(9, 0.36 * len(found) + 1), layout="constrained")
    axes = figure.subplots()
    colours = {"confirmed": "tab:green", "contradicted": "tab:red", "not shown": "0.5"}
    for place, one in enumerate(found):
        unit = (1 if METRICS[one.claim.metric].better == "higher" else -1) * 100 / abs(one.means[1])
        ends = sorted((unit * one.low, unit * one.high))
        axes.plot(ends, [-place, -place], color=colours[one.verdict])
        axes.plot(unit * one.difference, -place, "o", color=colours[one.verdict])
    axes.axvline(0, color="0.3", linewidth=0.8)
    labels = [f"{one.claim.number} {one.claim.text} ({METRICS[one.claim.metric].label})" for one in found]
    axes.set_yticks([-place for place in range(len(found))], labels, fontsize=8)
    axes.set_xlabel("better by, % (bars: 95 % over clips and seeds)")
    return figure


def guidance_plot(found: pd.DataFrame) -> Figure:
    """The share of the way to the style, and lip agreement, over the guidance scale, a line a seed."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    shown = {"share": "share of the way to the style", "lips": "lip agreement"}
    for axes, (name, label) in zip(figure.subplots(1, 2), shown.items(), strict=True):
        for seed, part in found.groupby("seed"):
            axes.plot(part["scale"], part[name], ".-", label=f"seed {seed}")
        axes.set(xlabel="guidance scale ω", ylabel=label)
        axes.legend()
    return figure
