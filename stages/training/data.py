"""Motion and sound of many clips for training: laid end to end, so that a batch of random windows is one gather."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Generator, Tensor

from stages.columns import Columns
from stages.shards import WORK

RESIDENT_BYTES = 8 * 2**30  # a larger column is memory-mapped instead of held in memory; the batches are the same


NO_CLIPS = "train, val or test has no clip in data/split.parquet: the corpus needs more clips or speakers"


class DataError(ValueError):
    """The data do not hold what a training needs; the text says what is missing and what to do."""


class Sequences:
    """Arrays (n_i, d) of many clips end to end.

    Attributes:
        lengths: (clips,) n_i.
        width: d.
    """

    def __init__(self, arrays: Sequence[np.ndarray]) -> None:
        self.lengths = torch.tensor([len(array) for array in arrays])
        self.width = arrays[0].shape[1]
        self._firsts = self.lengths.cumsum(0) - self.lengths
        rows = int(self.lengths.sum())
        flat = allocate((rows, self.width), np.float32)
        for first, array in zip(self._firsts.tolist(), arrays, strict=True):
            flat[first : first + len(array)] = array
        self._flat = torch.from_numpy(flat)

    def gather(self, clips: Tensor, starts: Tensor, length: int) -> Tensor:
        """Rows starts..starts+length-1 of each clip (B,), zeros where that is outside the clip: (B, length, d)."""
        rows = starts[:, None] + torch.arange(length)
        inside = (rows >= 0) & (rows < self.lengths[clips][:, None])
        index = (self._firsts[clips][:, None] + rows).clamp(0, len(self._flat) - 1)
        values = self._flat.index_select(0, index.flatten()).unflatten(0, index.shape)
        return values if inside.all() else values * inside[..., None]

    def mean(self) -> Tensor:
        """(d,) over all rows of all clips."""
        return self._flat.mean(0)


@dataclass(frozen=True)
class Corpus:
    """Some clips' motion and, where a network listens, sound.

    Attributes:
        table: the clips' rows of split.parquet, in the order that clip numbers refer to.
        expression: coefficients, a row a frame at 25 Hz.
        audio: features, two rows a frame; None if not loaded.
        identity: (clips, I).
    """

    table: pd.DataFrame
    expression: Sequences
    audio: Sequences | None
    identity: Tensor

    def __len__(self) -> int:
        return len(self.table)

    @property
    def frames(self) -> Tensor:
        return self.expression.lengths

    def clips(self, count: int, generator: Generator) -> Tensor:
        """(count,) clip numbers, each clip equally likely."""
        return torch.randint(len(self), (count,), generator=generator)

    def starts(self, clips: Tensor, length: int, generator: Generator) -> Tensor:
        """First frames of random windows; 0 in clips shorter than `length`."""
        return uniform(torch.zeros_like(clips), (self.frames[clips] - length).clamp(min=0), generator)

    def inside(self, clips: Tensor, starts: Tensor, length: int) -> Tensor:
        """(B, length) bool: which frames of a window are in the clip."""
        return starts[:, None] + torch.arange(length) < self.frames[clips][:, None]

    def sound(self, clips: Tensor, starts: Tensor, length: int) -> Tensor:
        """(B, 2·length, C) feature rows beside `length` frames."""
        return self.audio.gather(clips, 2 * starts, 2 * length)

    def sound_around(self, clips: Tensor, starts: Tensor, length: int, window: int) -> Tensor:
        """(B, 2·length + 2·window - 1, C): all rows within `window` rows of the frames' own."""
        return self.audio.gather(clips, 2 * starts - window, 2 * length - 1 + 2 * window)

    def segments(self, clips: Tensor, shortest: int, longest: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Random starts and lengths (B,), in frames; all of a clip that has fewer than `shortest`."""
        frames = self.frames[clips]
        lengths = uniform(frames.clamp(max=shortest), frames.clamp(max=longest), generator)
        return uniform(torch.zeros_like(clips), frames - lengths, generator), lengths

    def motion(self, clips: Tensor, starts: Tensor, lengths: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Segments (B, longest, D), zeros after their end, and mask (B, longest), True = padding."""
        return _masked(self.expression.gather(clips, starts, longest), lengths)

    def style(self, clips: Tensor, shortest: int, longest: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """A random segment of each clip as its style reference, as :meth:`motion` (DreamTalk, section III-C)."""
        return self.motion(clips, *self.segments(clips, shortest, longest, generator), longest)

    def speech(self, clips: Tensor, starts: Tensor, lengths: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Sound of segments given in frames: (B, 2·longest, C), zeros after their end, and mask (B, 2·longest)."""
        return _masked(self.audio.gather(clips, 2 * starts, 2 * longest), 2 * lengths)

    def other_of_speaker(self, clips: Tensor, generator: Generator) -> Tensor:
        """A clip of the same speaker from another video; where there is none another clip, or else the clip itself."""
        order, places = self._by_video
        first, count, beyond, choice = places[:, clips]
        step = uniform(torch.zeros_like(clips), choice - 1, generator)
        return order[first + (beyond - first + step) % count]

    @cached_property
    def _by_video(self) -> tuple[Tensor, Tensor]:
        """Clips ordered by speaker and video; and (4, clips) of each, in that order's places: the first of its speaker
        and their number, the place where clips of other videos begin, and their number."""
        ordered = self.table.sort_values(["speaker", "together", "clip_id"])
        order = torch.from_numpy(ordered.index.to_numpy())
        place = torch.arange(len(order))
        first, count = _runs(ordered, ["speaker"])
        begin, own = _runs(ordered, ["speaker", "together"])
        alone = own == count
        beyond = torch.where(alone, place + 1, begin + own)
        choice = torch.where(alone, (count - 1).clamp(min=1), count - own)
        return order, torch.stack([first, count, beyond, choice])[:, order.argsort()]

    def other(self, clips: Tensor, generator: Generator) -> Tensor:
        """Another clip, of anybody."""
        step = uniform(torch.ones_like(clips), torch.full_like(clips, max(1, len(self) - 1)), generator)
        return (clips + step) % len(self)


def load(split: pd.DataFrame, motion: Path, audio: Path | None = None) -> Corpus:
    """Lay the clips of `split` (rows of split.parquet) end to end.

    Raises:
        DataError: no clips, or a clip without motion or sound, or sound that is not two rows a frame.
    """
    table = split.sort_values("clip_id").reset_index(drop=True)
    if table.empty:
        raise DataError(NO_CLIPS)
    moving = _rows(Columns(motion), table["clip_id"], motion)
    expression = Sequences([row["expression"] for row in moving])
    identity = torch.from_numpy(np.stack([row["identity"] for row in moving]))
    heard = None
    if audio is not None:
        heard = Sequences([row["features"] for row in _rows(Columns(audio), table["clip_id"], audio)])
        uneven = table["clip_id"][(heard.lengths != 2 * expression.lengths).numpy()]
        if len(uneven):
            raise DataError(f"{audio}: clip {uneven.iloc[0]} has not two rows of sound a frame of motion; run `audio`")
    return Corpus(table, expression, heard, identity)


def spread(split: pd.DataFrame, count: int) -> list[str]:
    """Ids of at most `count` clips, evenly spread over the sorted list, and so over speakers and styles.

    Raises:
        DataError: there are none.
    """
    ids = sorted(split["clip_id"])
    if not ids:
        raise DataError(NO_CLIPS)
    return [ids[index] for index in np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int)]


def uniform(low: Tensor, high: Tensor, generator: Generator) -> Tensor:
    """Random whole numbers in low..high, both included, elementwise."""
    return low + (torch.rand(low.shape, generator=generator) * (high - low + 1)).long().clamp(max=high - low)


def allocate(shape: tuple[int, ...], kind: type[np.generic]) -> np.ndarray:
    """An array to be filled: in memory, or, if larger than RESIDENT_BYTES, in a nameless file below .work/.

    Raises:
        OSError: the disk has no room for it.
    """
    size = math.prod(shape) * np.dtype(kind).itemsize
    if size <= RESIDENT_BYTES:
        return np.empty(shape, kind)
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryFile(dir=WORK) as file:  # the map keeps the file alive
        os.posix_fallocate(file.fileno(), 0, size)  # else a full disk kills whoever fills it, by a signal
        return np.memmap(file, kind, "w+", shape=shape)


def _runs(ordered: pd.DataFrame, names: list[str]) -> tuple[Tensor, Tensor]:
    """Of each row, where the run of rows begins that agree with it in the columns `names`, and how long that is."""
    run = torch.from_numpy(ordered.groupby(names, sort=False, dropna=False).ngroup().to_numpy())
    size = run.bincount()
    return (size.cumsum(0) - size)[run], size[run]


def _masked(values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    mask = torch.arange(values.shape[1]) >= lengths[:, None]
    return values.masked_fill(mask[..., None], 0), mask


def _rows(columns: Columns, clip_ids: pd.Series, folder: Path) -> list[dict[str, np.ndarray]]:
    missing = [clip_id for clip_id in clip_ids if clip_id not in columns]
    if missing:
        raise DataError(f"{folder} lacks clip {missing[0]} and {len(missing) - 1} more of data/split.parquet")
    return [columns[clip_id] for clip_id in clip_ids]
