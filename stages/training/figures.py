"""The training stages' figures: lines, bars, shares, confusion, pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure


def lines(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    title: str,
    marker: float | None = None,
    diagonal: bool = False,
) -> Figure:
    """Curves over common x; `marker` draws a vertical line, `diagonal` the line y = x."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, y in curves.items():
        axes.plot(x, y, marker=".", label=name)
    if marker is not None:
        axes.axvline(marker, color="0.6", linewidth=0.8)
    if diagonal:
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    if len(curves) > 1:
        axes.legend()
    return figure


def bars(values: Mapping[str, float], ylabel: str, title: str) -> Figure:
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.bar_label(axes.bar(list(values), list(values.values())), fmt="%.3g")
    axes.set(ylabel=ylabel, title=title)
    return figure


def shares(groups: Mapping[str, np.ndarray], xlabel: str, title: str) -> Figure:
    """Over common bins, the share of each group's values (n,) in percent."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    bins = np.histogram_bin_edges(np.concatenate(list(groups.values())), 40)
    for name, values in groups.items():
        axes.hist(values, bins, weights=np.full(len(values), 100 / len(values)), alpha=0.6, label=name)
    axes.set(xlabel=xlabel, ylabel="% of pairs", title=title)
    axes.legend()
    return figure


def confusion(matrix: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """Rows are the truth, columns the verdict; each row shows shares."""
    figure = Figure(figsize=(4 + 0.14 * len(names), 3.5 + 0.14 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure.colorbar(axes.imshow(shares, vmin=0, vmax=1, cmap="viridis"), ax=axes, shrink=0.7)
    ticks = np.arange(len(names))
    axes.set_xticks(ticks, names, rotation=90, fontsize=6)
    axes.set_yticks(ticks, names, fontsize=6)
    axes.set(xlabel="verdict", ylabel="truth", title=title)
    return figure


def pictures(rows: np.ndarray, columns: Sequence[str], title: str) -> Figure:
    """Pictures (rows, columns, H, W, 3) in [0, 1] as a grid."""
    count, wide = rows.shape[:2]
    figure = Figure(figsize=(2 * wide, 2 * count + 0.4), layout="constrained")
    for index, axes in enumerate(figure.subplots(count, wide, squeeze=False).flat):
        axes.imshow(np.clip(rows[index // wide, index % wide], 0, 1))
        axes.set_axis_off()
        if index < wide:
            axes.set_title(columns[index], fontsize=9)
    figure.suptitle(title)
    return figure
