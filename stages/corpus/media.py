"""The clips' own media, read in place from uncompressed tar shards (``<clip_id>.mp4`` and ``<clip_id>.wav``)."""

from __future__ import annotations

import hashlib
import io
import tarfile
from functools import cached_property
from pathlib import Path

import decord
import numpy as np
import soundfile

from stages import tables

DAMAGE = (  # what reading a damaged clip, shard or row of the table raises
    OSError, KeyError, IndexError, TypeError, ValueError, RuntimeError, tarfile.TarError, decord.DECORDError,
)  # fmt: skip


class Clips:
    """The corpus of cropped clips: its table and, by clip id, its pictures and sound.

    Raises:
        FileNotFoundError: the folder holds no clips.parquet.
        KeyError: no such clip.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = tables.read(folder / "clips.parquet").set_index("clip_id", drop=False)
        self._members: dict[str, dict[str, tuple[int, int]]] = {}

    @cached_property
    def ids(self) -> list[str]:
        return sorted(self.table.index)

    def member(self, clip_id: str, suffix: str) -> bytes:
        """The bytes of one member; suffix is "mp4" or "wav"."""
        shard = self.table.loc[clip_id, "shard"]
        path = self.folder / shard
        if shard not in self._members:
            with tarfile.open(path, "r:") as tar:
                self._members[shard] = {m.name: (m.offset_data, m.size) for m in tar if m.isfile()}
        offset, size = self._members[shard][f"{clip_id}.{suffix}"]
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def digests(self, clip_id: str) -> tuple[str, str]:
        """Of its pictures and of its sound: what depends on a clip depends on both."""
        return self.table.loc[clip_id, "sha256"], hashlib.sha256(self.member(clip_id, "wav")).hexdigest()

    def frames(self, clip_id: str, indices: list[int] | None = None) -> np.ndarray:
        """RGB frames, (n, H, W, 3) uint8: all of them, or those at `indices`."""
        reader = decord.VideoReader(io.BytesIO(self.member(clip_id, "mp4")), num_threads=1)
        return reader.get_batch(range(len(reader)) if indices is None else indices).asnumpy()

    def audio(self, clip_id: str) -> np.ndarray:
        """Sound as (samples,) float32 in [-1, 1] at the table's audio_rate."""
        samples, _ = soundfile.read(io.BytesIO(self.member(clip_id, "wav")), dtype="float32")
        return samples
