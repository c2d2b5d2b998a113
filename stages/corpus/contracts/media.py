"""Sampled clips are decoded and compared with what the table says of them."""

from __future__ import annotations

import hashlib
import io

import decord
import numpy as np
import soundfile

from stages.corpus.contracts.checks import Check, verdict
from stages.corpus.media import DAMAGE, Clips
from stages.params import Crop, Validate


def check_media(clips: Clips, settings: Validate, crop: Crop) -> list[Check]:
    """Are all shards there, and do `settings.sampled_media` clips, spread evenly over the corpus, decode to what
    clips.parquet says?"""
    shards = sorted(clips.table["shard"].dropna().unique())
    missing = [shard for shard in shards if not (clips.folder / shard).is_file()]
    ids = sorted(clips.table.index.drop_duplicates(keep=False))
    places = np.linspace(0, len(ids) - 1, min(settings.sampled_media, len(ids)))
    chosen = [ids[place] for place in np.unique(places.astype(int))]
    problems = [f"{clip_id}: {problem}" for clip_id in chosen for problem in _problems(clips, clip_id, settings, crop)]
    sampled = f"{len(chosen)} sampled clips decode to what the table says: bytes, frames, size, rate, length of sound"
    return [verdict("media", f"all {len(shards)} shards are there", missing), verdict("media", sampled, problems)]


def _problems(clips: Clips, clip_id: str, settings: Validate, crop: Crop) -> list[str]:
    try:
        return _differences(clips, clip_id, settings, crop)
    except DAMAGE as error:
        return [f"cannot be decoded ({clips.table.loc[clip_id, 'shard']}): {error}"]


def _differences(clips: Clips, clip_id: str, settings: Validate, crop: Crop) -> list[str]:
    row, video = clips.table.loc[clip_id], clips.member(clip_id, "mp4")
    reader = decord.VideoReader(io.BytesIO(video), num_threads=1)
    samples, rate = soundfile.read(io.BytesIO(clips.member(clip_id, "wav")), dtype="float32")
    shapes = {frame.shape for frame in (reader[0].asnumpy(), reader[len(reader) - 1].asnumpy())}
    gap = abs(len(samples) / rate - len(reader) / crop.fps)
    wrong = {
        "the picture's bytes are not those of the checksum": hashlib.sha256(video).hexdigest() != row["sha256"],
        f"{len(reader)} frames, the table says {row['frames']}": len(reader) != row["frames"],
        f"frames are {sorted(shapes)}, not {crop.size} x {crop.size}": shapes != {(crop.size, crop.size, 3)},
        f"{reader.get_avg_fps():.3f} frames/s, not {crop.fps}": abs(reader.get_avg_fps() - crop.fps) > 0.01,
        f"sound at {rate} Hz, not {crop.audio_rate}": rate != crop.audio_rate,
        f"sound and picture differ by {gap:.3f} s": gap > settings.max_av_gap_s,
        "the sound has more than one channel": samples.ndim != 1,
    }
    return [problem for problem, holds in wrong.items() if holds]
