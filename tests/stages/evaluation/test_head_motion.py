"""Made up head movement: mild, smooth, from rest, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from stages.evaluation.head_motion import mild
from stages.params import Mild

SETTINGS = Mild(degrees=[1.4, 1.9, 1.4], shift=0.02, corner_hz=0.35, ease_s=1.0)


def test_spectrum_and_size_are_those_of_people() -> None:
    angles = np.rad2deg(mild(5000, 25, SETTINGS, seed=0).angles)
    np.testing.assert_allclose(angles.std(0), SETTINGS.degrees, rtol=0.3)
    power = np.abs(np.fft.rfft(angles * np.hanning(5000)[:, None], axis=0)) ** 2
    slow = np.fft.rfftfreq(5000, 1 / 25)
    assert 0.6 < power[slow < 0.5].sum() / power.sum() < 0.95
    assert power[slow > 2].sum() / power.sum() < 0.05


@pytest.mark.parametrize("frames", [1, 2, 250])
def test_begins_at_rest_and_repeats_itself(frames: int) -> None:
    track = mild(frames, 25, SETTINGS, seed=1)
    assert (track.angles[0] == 0).all()
    assert (track.translation[0] == 0).all()
    assert (track.translation[:, 2] == 0).all()
    np.testing.assert_array_equal(track.angles, mild(frames, 25, SETTINGS, seed=1).angles)
    if frames > 2:
        assert np.rad2deg(np.abs(np.diff(track.angles, axis=0))).max() < 1.5
        assert np.abs(track.angles - mild(frames, 25, SETTINGS, seed=2).angles).max() > 0
