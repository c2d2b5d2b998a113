"""Face motion as plain arrays: pose tracks made to any length, and carried from one head to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pose:
    """Where a head is, frame by frame.

    Attributes:
        angles: (n, 3) rad. translation: (n, 3), px, px and scale, as in the face model's ``project``.
    """

    angles: np.ndarray
    translation: np.ndarray

    def __len__(self) -> int:
        return len(self.angles)


@dataclass(frozen=True)
class Motion:
    """What a renderer is driven by: expression (n, D) and pose of n frames."""

    expression: np.ndarray
    pose: Pose

    def __len__(self) -> int:
        return len(self.expression)


def there_and_back(length: int, frames: int, turn: int = 0) -> np.ndarray:
    """Places (frames,) in a track of `length` frames, fractions too, that run to its end and back, so that it never
    jumps; as it is where it is long enough.

    Args:
        turn: frames on either side of each turn in which the pace changes evenly, so that velocity does not jump.
    """
    if frames <= length or length == 1:
        return np.minimum(np.arange(frames, dtype=float), length - 1)
    last = length - 1
    turn = min(turn, last // 2)
    time = np.arange(-turn, frames + turn)
    phase = time % (2 * last)
    wave = np.where(time < 0, time, np.minimum(phase, 2 * last - phase))  # straight on before it starts: no turn there
    return np.convolve(wave, np.full(2 * turn + 1, 1 / (2 * turn + 1)), "valid").clip(0, last)


def to_length(pose: Pose, frames: int, turn: int = 0) -> Pose:
    """The first `frames` frames of a track, played there and back where it is shorter; see :func:`there_and_back`."""
    place = there_and_back(len(pose), frames, turn)
    return Pose(_between(pose.angles, place), _between(pose.translation, place))


def _between(track: np.ndarray, place: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(place, np.arange(len(track)), column) for column in track.T], axis=1)


def follow(angles: np.ndarray, translation: np.ndarray, track: Pose) -> Pose:
    """A pose track carried over to another head: its movement since its first frame, from where that head is.

    Args:
        angles: (3,) and translation: (3,) of the head that shall move.
    """
    own, first = translation.astype(np.float32), track.translation[0]
    size = np.exp(own[2] - first[2])  # the head's size in px against the driver's
    moved = track.translation - first
    shift = np.column_stack([moved[:, :2] * size, moved[:, 2]])
    return Pose(angles + track.angles - track.angles[0], own + shift)


def still(angles: np.ndarray, translation: np.ndarray, frames: int) -> Pose:
    """A head that keeps its pose, angles (3,) and translation (3,), for `frames` frames."""
    return Pose(np.tile(angles, (frames, 1)), np.tile(translation, (frames, 1)))
