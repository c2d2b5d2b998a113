from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot as plt

from stages import plots


def draw():
    figure, axes = plt.subplots()
    axes.plot([1, 2], [3, 1], label="名前")
    axes.legend()
    return figure


def test_plots_come_for_light_and_dark_and_are_the_same_every_time(tmp_path: Path, recwarn) -> None:
    for folder in ("a", "b"):
        plots.save(draw, tmp_path / folder, "plot")
    light, dark = ((tmp_path / "a" / name).read_bytes() for name in ("plot.png", "plot-dark.png"))
    assert light != dark
    again = [(tmp_path / "b" / name).read_bytes() for name in ("plot.png", "plot-dark.png")]
    assert again == [light, dark]
    assert not list(recwarn)
