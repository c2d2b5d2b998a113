"""The corpus' figures, in the look of stages/plots.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from stages.plots import COLOURS

SMALL = (4.6, 2.5)  # inches
BARS = 150  # that are drawn one by one
LABELLED = 36  # bars that have their names below them
FAR = 2  # times the largest value: a bound beyond it is not drawn
NAME = 18  # characters of a speaker's name that are shown
REASONS = 12
BAD = COLOURS[5]
PARTS = {"train": COLOURS[0], "val": COLOURS[3], "test": COLOURS[1], "judge": COLOURS[4]}


def lengths(seconds: Sequence[float], bounds: tuple[float, float]) -> Figure:
    """Histogram of the clips' lengths, and the bounds that params set; the upper one only where it is near."""
    return _histogram(seconds, "length of a clip, s", bounds)


def faces(pixels: Sequence[float], least: float) -> Figure:
    """Histogram of the faces' edges in the source, and the least edge that params allow."""
    return _histogram(pixels, "edge of the face in the source, px", (least,))


def detection(rates: Sequence[float], least: float) -> Figure:
    """In how many clips a face was found in all frames, in nearly all, and so on down to the share allowed."""
    rates = np.asarray(rates, float)
    edges = [edge for edge in (0.99, 0.95, 0.9, 0.75, 0.5) if edge > least] + [least]
    names, counts, above = ["all"], [int((rates >= 1).sum())], 1.0
    for edge in edges:
        names.append(f"≥ {100 * edge:g}")
        counts.append(int(((rates < above) & (rates >= edge)).sum()))
        above = edge
    if (rates < least).any():
        names, counts = [*names, "fewer"], [*counts, int((rates < least).sum())]
    figure, axes = plt.subplots(figsize=SMALL, layout="constrained")
    bars = axes.bar(names, counts, color=[COLOURS[2]] * (len(edges) + 1) + [BAD] * (len(names) - len(edges) - 1))
    _label(axes, bars, counts)
    axes.set_xlabel("frames in which the face was found, %")
    axes.set_ylabel("clips")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(False, axis="x")
    return figure


def styles(counts: pd.DataFrame) -> Figure:
    """Clips of each emotion at each level as a map of numbers.

    Args:
        counts: numbers.by_style.
    """
    grid = counts.set_index("emotion").drop(columns="all levels")
    ink, paper = plt.rcParams["text.color"], plt.rcParams["grid.color"]
    figure, axes = plt.subplots(figsize=(4.6, max(SMALL[1], 0.6 + 0.22 * len(grid))), layout="constrained")
    shades = LinearSegmentedColormap.from_list("shades", [(*_rgb(paper), 0.15), (*_rgb(COLOURS[0]), 0.75)])
    axes.pcolormesh(np.arange(grid.shape[1] + 1), np.arange(len(grid) + 1), grid, cmap=shades, vmin=0, lw=2, ec="none")
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        shown = f"{value:,}" if value else "–"
        axes.text(column + 0.5, row + 0.5, shown, ha="center", va="center", color=ink, alpha=1 if value else 0.4)
    axes.set_xticks(np.arange(grid.shape[1]) + 0.5, grid.columns)
    axes.set_yticks(np.arange(len(grid)) + 0.5, grid.index)
    axes.xaxis.tick_top()
    axes.invert_yaxis()
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def speakers(minutes: pd.DataFrame) -> Figure:
    """Minutes of each speaker in each part of the split.

    Args:
        minutes: numbers.minutes_by_speaker.
    """
    figure, axes = plt.subplots(figsize=(9.6, 2.5), layout="constrained")
    places, bottom = np.arange(len(minutes)), np.zeros(len(minutes))
    for part in [part for part in PARTS if minutes[part].any()]:
        top = bottom + minutes[part].to_numpy()
        if len(minutes) <= BARS:
            axes.bar(places, top - bottom, 0.8, bottom, color=PARTS[part], label=part)
        else:  # thousands of bars take long to draw
            axes.fill_between(places, bottom, top, step="mid", color=PARTS[part], label=part, linewidth=0)
        bottom = top
    if len(minutes) <= LABELLED:
        turned = len(minutes) > 12 or max(len(str(name)) for name in minutes.index) > 10
        axes.set_xticks(
            places, [_name(name) for name in minutes.index], rotation=60 * turned, ha="right" if turned else "center"
        )
        for text in axes.get_xticklabels():
            text.set(parse_math=False, rotation_mode="anchor")
    else:
        axes.set_xlabel(f"{len(minutes):,} speakers, those of a part side by side, longest first")
    axes.set_xlim(-0.6, max(len(minutes), 8) - 0.4)
    axes.set_ylim(0)
    axes.set_ylabel("minutes")
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(False, axis="x")
    axes.legend(ncols=4, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def fates(counts: dict[str, int]) -> Figure:
    """What became of the items, as one bar.

    Args:
        counts: numbers.fates.
    """
    shown = {"gave clips": COLOURS[2], "gave none": BAD, "could not be read": COLOURS[9]}
    figure, axes = plt.subplots(figsize=(9.6, 0.95), layout="constrained")
    left, total = 0, sum(counts[name] for name in shown)
    for name, colour in shown.items():
        if counts[name]:
            label = f"{counts[name]:,} {name} ({counts[name] / total:.0%})"
            axes.barh(0, counts[name], left=left, color=colour, label=label, height=0.6)
        left += counts[name]
    axes.set_xlim(0, max(total, 1))
    axes.set_axis_off()
    if total:
        axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(-0.01, 0.95), handlelength=0.9, fontsize=9)
    return figure


def rejections(counts: pd.DataFrame) -> Figure:
    """Why items and takes were rejected, most frequent first.

    Args:
        counts: numbers.rejections, with a row at least.
    """
    shown = counts.head(REASONS)
    figure, axes = plt.subplots(figsize=(9.6, 0.35 + 0.44 * len(shown)), layout="constrained")
    places = np.arange(len(shown))
    axes.barh(places + 0.28, shown["items"], height=0.3, color=BAD)
    most = shown["items"].max()
    for place, (stage, reason, items) in enumerate(shown.itertuples(index=False)):
        axes.text(0, place - 0.12, f"{reason}  ({stage})", va="center", parse_math=False)
        axes.text(items + 0.008 * most, place + 0.28, f"{items:,}", va="center", fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.5)
    axes.set_xlim(0, most * 1.06)
    axes.set_axis_off()
    return figure


def _histogram(values: Sequence[float], label: str, bounds: Sequence[float]) -> Figure:
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    figure, axes = plt.subplots(figsize=SMALL, layout="constrained")
    shown = [bound for bound in bounds if bound < FAR * values.max(initial=0)]
    every = np.concatenate([values, shown])
    bins = min(40, max(10, len(values) // 6))
    axes.hist(values, bins=bins, range=(every.min(), every.max()), color=COLOURS[0], edgecolor="none", rwidth=0.92)
    for bound in shown:
        axes.axvline(bound, color=BAD, linestyle="--", linewidth=1)
    axes.set_xlabel(label)
    axes.set_ylabel("clips")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure


def _label(axes: Axes, bars: object, counts: list[int]) -> None:
    axes.bar_label(bars, [f"{count:,}" if count else "" for count in counts], fontsize=8, padding=1)
    axes.margins(y=0.12)


def _name(text: str) -> str:
    plain = "".join(letter if letter.isprintable() else "·" for letter in str(text))
    return plain if len(plain) <= NAME else plain[: NAME - 1] + "…"


def _rgb(colour: str) -> tuple[float, float, float]:
    return plt.matplotlib.colors.to_rgb(colour)
