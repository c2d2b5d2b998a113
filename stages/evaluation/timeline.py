"""What changes over time, as a user writes it: ``happy.mp4; 4.5=angry.mp4`` is angry from 4.5 s on."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from stages.evaluation.inputs import InputError

LARGEST = 10.0  # beyond it no face is left of a face
_CUE = re.compile(r"(?:(\d+(?:\.\d*)?)\s*=\s*)?(\S.*)")


@dataclass(frozen=True)
class Cue:
    """From `start` seconds on, `what`."""

    start: float
    what: str


def cues(text: str, name: str) -> list[Cue]:
    """The cues of a text, by time; the first holds from the beginning, whatever its time is.

    Args:
        text: ``WHAT``, or ``WHAT; SECONDS=WHAT; ...``.
        name: of the option, for the error.

    Raises:
        InputError: a part is empty, or two begin at one time.
    """
    parts = [_CUE.fullmatch(part.strip()) for part in text.split(";")]
    if None in parts:
        raise InputError(f'{name} "{text}": write WHAT, or WHAT; SECONDS=WHAT; ...')
    found = sorted((Cue(float(part[1] or 0), part[2]) for part in parts), key=lambda cue: cue.start)
    if len({cue.start for cue in found}) < len(found):
        raise InputError(f'{name} "{text}": two parts begin at the same time')
    return [Cue(0.0, found[0].what), *found[1:]]


def numbers(text: str, name: str) -> list[tuple[float, float]]:
    """(start, value) of cues that are numbers from 0 to LARGEST; raises as :func:`cues`."""
    found = []
    for cue in cues(text, name):
        try:
            value = float(cue.what)
        except ValueError:
            value = -1.0
        if not 0 <= value <= LARGEST:
            raise InputError(f"{name} {cue.what!r} is not a number from 0 to {LARGEST:g}")
        found.append((cue.start, value))
    return found


def at(time: float, track: list[tuple[float, float]]) -> float:
    """The value that holds at a time."""
    return [value for start, value in track if start <= time][-1]


def weights(starts: list[float], frames: int, fps: float, blend_s: float) -> np.ndarray:
    """How much each part counts in each frame, (parts, frames), sums of 1: each gives way to the next round the time
    at which that one begins, smoothly in `blend_s` seconds."""
    time = np.arange(frames) / fps
    rise = np.ones((len(starts) + 1, frames))
    for i, start in enumerate(starts[1:], 1):
        share = np.clip((time - start) / max(blend_s, 1e-9) + 0.5, 0, 1)
        rise[i] = np.minimum(share * share * (3 - 2 * share), rise[i - 1])
    rise[-1] = 0
    return rise[:-1] - rise[1:]
