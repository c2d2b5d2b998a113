"""The voice that a user gives: what networks hear of it, and what the video sounds like."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stages.corpus import decode
from stages.evaluation.inputs import InputError

FULL_RATE = 48_000  # Hz, of the video's sound where the voice has more than networks hear


def read_voice(path: Path, rate: int) -> np.ndarray:
    """The sound of any audio or video file: (samples,) float32 mono.

    Raises:
        InputError: it cannot be read, has no sound or no sample.
    """
    try:
        samples = decode.read_audio(path, rate, alone=True)
    except decode.MediaError as error:
        raise InputError(f"{path} {error}; give a sound or video file with speech") from error
    if not len(samples):
        raise InputError(f"{path} has no sound in it: 0 samples")
    return samples


def full_voice(path: Path, heard: np.ndarray, rate: int) -> tuple[np.ndarray, int]:
    """The sound for the video and its rate: what was heard at `rate`, or the voice anew where its file has more."""
    if decode.sound_rate(path) <= rate:
        return heard, rate
    length = len(heard) * FULL_RATE // rate
    full = read_voice(path, FULL_RATE)[:length]
    return np.pad(full, (0, length - len(full))), FULL_RATE
