"""Plots in the house's look, each drawn for light and for dark paper. Equal data give equal bytes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

DARK = "-dark"
COLOURS = ("#3b7dd8", "#e0713a", "#2f9e76", "#b45fc4", "#c9971c", "#d1495b", "#5aa9c4", "#8a8f3c", "#8b6f5c", "#7a7f99")
_INK = {"": "#22262e", DARK: "#dfe3ea"}
_FAINT = {"": "#c9ced8", DARK: "#454c59"}


def save(draw: Callable[[], Figure], folder: Path, name: str) -> Path:
    """Draw twice: `<name>.png` for light paper, `<name>-dark.png` for dark; both have a clear background."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in ("", DARK):
        with matplotlib.rc_context(_style(suffix)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # a name in a script that the font has not
            figure = draw()
            figure.savefig(folder / f"{name}{suffix}.png", transparent=True, metadata={"Software": None})
            plt.close(figure)
    return folder / f"{name}.png"


def _style(suffix: str) -> dict[str, object]:
    ink, faint = _INK[suffix], _FAINT[suffix]
    return {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.titleweight": "bold",
        "axes.edgecolor": faint,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": faint,
        "grid.alpha": 0.5,
        "grid.linewidth": 0.6,
        "text.color": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "lines.linewidth": 1.6,
        "savefig.dpi": 130,
    }
