from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.corpus import decode
from stages.evaluation.report import pictures


def film(shade: int, frames: int, size: int = 40) -> np.ndarray:
    return np.full((frames, size, size, 3), shade, np.uint8)


def test_side_by_side_is_one_film_with_sound(tmp_path: Path) -> None:
    videos = {"truth": film(20, 30), "full": film(120, 20), "third": film(220, 30)}
    sound = 0.1 * np.sin(np.arange(32000) / 10).astype(np.float32)
    path = pictures.side_by_side(tmp_path / "x.mp4", videos, 48, 25, 10.0, sound, 16000)
    frames = decode.read_video(path, 25)
    assert len(frames) == 20  # the shortest decides
    shades = [frames[5, pictures.CAPTION + 24, i * (48 + pictures.GAP) + 24].mean() for i in range(3)]
    assert shades == pytest.approx([20, 120, 220], abs=6)
    assert len(decode.read_audio(path, 16000)) == pytest.approx(20 / 25 * 16000, abs=2048)


def test_side_by_side_is_cut(tmp_path: Path) -> None:
    path = pictures.side_by_side(tmp_path / "x.mp4", {"a": film(20, 30)}, 48, 25, 0.4, np.zeros(16000, "f4"), 16000)
    assert len(decode.read_video(path, 25)) == 10


def test_labels_never_cover_a_picture() -> None:
    sheet = pictures.grid([[film(9, 1)[0]] * 2], ["a very long title that has no room at all", "b"], ["row"], 40)
    assert (sheet[pictures.CAPTION : pictures.CAPTION + 40, -40 - pictures.GAP : -pictures.GAP] == 9).all()


def test_an_empty_place_stays_white() -> None:
    sheet = pictures.grid([[None, film(9, 1)[0]]], ["", ""], [""], 40)
    assert (sheet[pictures.CAPTION : pictures.CAPTION + 40, 8:48] == 255).all()


def test_fit_keeps_the_shape() -> None:
    wide = np.zeros((20, 40, 3), np.uint8)
    assert (pictures.fit(wide, 40)[10:30] == 0).all() and (pictures.fit(wide, 40)[:9] == 255).all()
