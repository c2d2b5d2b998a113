"""Head movement made up: slow and mild, with the spectrum of people who talk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stages.evaluation.motion import Pose

if TYPE_CHECKING:
    from stages.params import Mild


def mild(frames: int, fps: float, settings: Mild, seed: int) -> Pose:
    """Movement of a head from rest.

    Power falls with frequency as 1 / (1 + (f / corner)^3): of six clips of real speakers (published coefficients, 210
    to 2077 frames) the median share below 0.5 Hz was 0.8, above 2 Hz 0.03.

    Returns:
        angles (frames, 3) rad; translation (frames, 3) in model units, of no change of size; both begin at 0.
    """
    generator = np.random.default_rng([seed, 2])
    padded = 2 * frames + int(20 * fps)  # a cycle much longer than what is used: it does not come round
    frequency = np.fft.rfftfreq(padded, 1 / fps)
    amplitude = 1 / np.sqrt(1 + (frequency / settings.corner_hz) ** 3)
    amplitude[0] = 0
    phases = generator.uniform(0, 2 * np.pi, (5, len(frequency)))
    waves = np.fft.irfft(amplitude * np.exp(1j * phases), padded, axis=1)
    waves = (waves / waves.std(axis=1, keepdims=True))[:, :frames].T
    begun = np.clip(np.arange(frames) / (settings.ease_s * fps), 0, 1)[:, None]
    waves *= begun * begun * (3 - 2 * begun)
    shift = np.column_stack([waves[:, 3:] * settings.shift, np.zeros(frames)])
    return Pose(waves[:, :3] * np.deg2rad(settings.degrees), shift)
