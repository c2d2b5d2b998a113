"""The report's plots; see stages/plots.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.plots import COLOURS


def training_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """A panel for each quantity of each kind of network; a colour a variant, validation drawn over training.

    Args:
        histories: (step, metric, value) by network, "denoiser/full"; metrics are named "train/loss", "val/loss".
    """
    panels = _panels(histories)
    columns = 3
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(10.5, 2.35 * rows), layout="constrained", squeeze=False, sharex=False
    )
    for axes, ((kind, quantity), lines) in zip(grid.flat, panels.items(), strict=False):
        for variant, curves in lines.items():
            _training_lines(axes, curves, variant, COLOURS[list(lines).index(variant) % len(COLOURS)])
        axes.set_title(f"{kind.replace('_', ' ')}: {quantity.replace('_', ' ')}")
        if len(lines) > 1:
            axes.legend(fontsize=7)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[-1]:
        axes.set_xlabel("step")
    return figure


def curves(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]], x_label: str, y_label: str, mark: float | None = None
) -> Figure:
    """Named lines over one axis; `mark` is a place on it that matters."""
    figure, axes = plt.subplots(figsize=(5.2, 3.0), layout="constrained")
    for (name, (x, y)), colour in zip(lines.items(), COLOURS, strict=False):
        axes.plot(x, y, color=colour, label=name, marker="o", markersize=2.5)
    if mark is not None:
        axes.axvline(mark, color=plt.rcParams["grid.color"], linestyle="--", zorder=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend()
    return figure


def style_map(points: np.ndarray, groups: Mapping[str, Sequence[str]]) -> Figure:
    """The same map (n, 2) once for each grouping, coloured by it."""
    figure, grid = plt.subplots(1, len(groups), figsize=(5.2 * len(groups), 4.4), layout="constrained", squeeze=False)
    for axes, (title, labels) in zip(grid.flat, groups.items(), strict=True):
        names = sorted(set(labels))
        palette = (
            COLOURS
            if len(names) <= len(COLOURS)
            else [plt.colormaps["turbo"](i / len(names)) for i in range(len(names))]
        )
        for name, colour in zip(names, palette, strict=False):
            chosen = points[np.array(labels) == name]
            axes.scatter(*chosen.T, s=16, color=colour, label=name, linewidths=0, alpha=0.85)
        axes.set_title(f"coloured by {title}")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(False)
        if len(names) <= 16:
            axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), handletextpad=0.1)
    return figure


def intensity(scales: Sequence[float], strength: np.ndarray, agreement: np.ndarray, reference: float) -> Figure:
    """Figure 14 as numbers: style intensity and lip agreement over the guidance scale.

    Args:
        strength, agreement: (clips, scales); each clip is a thin line, their mean a bold one.
        reference: the mean intensity of the style references themselves.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.2), layout="constrained")
    for axes, values, colour in ((left, strength, COLOURS[0]), (right, agreement, COLOURS[1])):
        axes.plot(scales, values.T, color=colour, alpha=0.25, linewidth=0.8)
        axes.plot(
            scales, np.nanmean(values, axis=0), color=colour, marker="o", linewidth=2.2, label="mean of the clips"
        )
        axes.set_xlabel("guidance scale ω")
    left.axhline(reference, color=plt.rcParams["text.color"], linestyle="--", linewidth=0.9, label="the references")
    left.set_title("style intensity")
    left.set_ylabel("% of the inter-ocular distance")
    left.legend()
    right.set_title("lip agreement")
    right.set_ylabel("correlation of mouth opening")
    return figure


def _panels(histories: Mapping[str, pd.DataFrame]) -> dict[tuple[str, str], dict[str, dict[str, pd.DataFrame]]]:
    """(kind, quantity) → variant → "train" or "val" → curve."""
    panels: dict[tuple[str, str], dict[str, dict[str, pd.DataFrame]]] = {}
    for network, history in sorted(histories.items()):
        kind, _, variant = network.partition("/")
        for metric, points in history.groupby("metric"):
            phase, _, quantity = str(metric).rpartition("/")
            panel = panels.setdefault((kind, quantity), {})
            panel.setdefault(variant or kind, {})[phase] = points.sort_values("step", kind="stable")
    return dict(sorted(panels.items()))


def _training_lines(axes: Axes, curves: Mapping[str, pd.DataFrame], variant: str, colour: str) -> None:
    held_out = [phase for phase in curves if phase.startswith("val")]
    for phase, points in curves.items():
        if phase in held_out:
            axes.plot(points.step, points.value, color=colour, marker="o", markersize=3, label=variant)
        else:
            smooth = points.value.rolling(max(1, len(points) // 40), min_periods=1, center=True).mean()
            axes.plot(points.step, points.value, color=colour, alpha=0.18, linewidth=0.6)
            axes.plot(points.step, smooth, color=colour, alpha=0.65, linewidth=1.0, label=None if held_out else variant)
