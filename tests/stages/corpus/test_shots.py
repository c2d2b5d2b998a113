"""Cuts are found, fast heads are not taken for cuts, and the score is PySceneDetect's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stages.corpus.shots import ShotDetector, content_change, thumbnail


def noise(seed: int, low: int, high: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, (120, 100, 3)).astype(np.uint8)


def test_the_score_is_that_of_pyscenedetect():
    scenedetect = pytest.importorskip("scenedetect")
    before, after = noise(0, 0, 120), noise(1, 60, 255)
    theirs = scenedetect.ContentDetector()
    for number, rgb in enumerate((before, after)):
        theirs.process_frame(scenedetect.FrameTimecode(number, 25.0), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    assert content_change(thumbnail(before), thumbnail(after)) == pytest.approx(theirs._frame_score, rel=0.01)


def test_a_cut_is_found_where_it_is():
    here, there = np.uint8([40, 30, 20]), np.uint8([90, 150, 200])
    frames = [base + noise(i, 0, 6) for base in (here, there) for i in range(8)]
    detector = ShotDetector(27.0)
    assert [i for i, rgb in enumerate(frames) if detector.is_cut(rgb)] == [8]


def test_movement_that_goes_on_is_no_cut():
    detector = ShotDetector(27.0)
    cuts = [detector.is_cut(noise(i, 0, 255)) for i in range(6)]  # every step is far over the threshold
    assert not any(cuts[2:])
