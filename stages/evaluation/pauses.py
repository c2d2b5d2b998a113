"""Pauses of speech, in which a mouth rests: closed, and moving slowly only.

Networks hear silence seldom, since corpora are cut to speech; what they then say is near the mean expression, which is
the mean of a speaking face, lips apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.ndimage import binary_opening, gaussian_filter1d

if TYPE_CHECKING:
    from dreamtalk_models.closures import Closure
    from stages.params import Pause

SILENT_DB = -60.0  # of full scale; quieter is silence, however loud the rest is


def loudness_db(samples: np.ndarray, frames: int) -> np.ndarray:
    """Level of a sound beside each of `frames` frames that share its length, (frames,) dB of full scale."""
    edges = np.linspace(0, len(samples), frames + 1).astype(int)
    wave = samples - np.mean(samples, dtype=np.float64)  # cheap microphones add a constant, which is not heard
    power = np.add.reduceat(np.square(wave), edges[:-1]) / np.maximum(np.diff(edges), 1)
    return 10 * np.log10(power + 1e-12)


def resting(samples: np.ndarray, frames: int, fps: float, settings: Pause) -> np.ndarray:
    """How far the mouth rests in each frame, (frames,) in 0..1.

    A pause is at least `least_s` long (a plosive's closure is shorter) and `below_db` below the loud parts or, where
    noise is louder than that, as quiet as the noise. The mouth leaves its rest before the sound begins, as lips do.
    """
    level = loudness_db(samples, frames)
    quiet = level < _threshold(level, settings)
    least = max(round(settings.least_s * fps), 1)
    around = np.pad(quiet, least, mode="edge")
    pause = binary_opening(around, np.ones(least))[least:-least]
    lead = round(settings.lead_s * fps)
    pause &= np.pad(pause, (0, lead), mode="edge")[lead:]
    return gaussian_filter1d(pause.astype(np.float64), settings.lead_s * fps / 2, mode="nearest")


def _threshold(level: np.ndarray, settings: Pause) -> float:
    """dB of full scale below which nobody speaks, of a sound's level (n,)."""
    noise, loud = np.percentile(level, [5, 95])
    threshold = max(loud - settings.below_db, SILENT_DB)
    if loud - noise < settings.clear_db:  # as of one who never pauses: what is quietest is speech
        return threshold
    return max(threshold, noise + settings.noise_db)


def at_rest(expression: np.ndarray, mouth: Closure, rest: np.ndarray, fps: float, settings: Pause) -> np.ndarray:
    """Expressions (n, D) with lips that close, and a face that is calm, as far as it rests, (n,) in 0..1."""
    share = rest.astype(np.float32)[:, None]
    calm = gaussian_filter1d(expression, settings.calm_s * fps, axis=0, mode="nearest")
    mixed = torch.from_numpy(((1 - share) * expression + share * calm).astype(np.float32))
    return mouth.close(mixed, torch.from_numpy(share[:, 0])).numpy()
