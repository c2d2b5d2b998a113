"""A clip of the corpus as a file that any player shows: the pictures as they are stored, the sound as AAC."""

from __future__ import annotations

import io
from pathlib import Path

import av

from stages.corpus.encode import MP4, Sound
from stages.corpus.media import Clips
from stages.files import atomic_path


def write_clip(clips: Clips, clip_id: str, path: Path) -> None:
    """Write a clip as *.mp4.

    Raises:
        KeyError: no such clip.
    """
    rate = int(clips.table.loc[clip_id, "audio_rate"])
    with (
        atomic_path(path) as tmp,
        av.open(io.BytesIO(clips.member(clip_id, "mp4"))) as stored,
        av.open(f"file:{tmp}", "w", format="mp4", options=MP4) as container,
    ):
        video = container.add_stream_from_template(stored.streams.video[0])
        sound = Sound(container, clips.audio(clip_id), rate)
        for packet in stored.demux(stored.streams.video[0]):
            if packet.pts is not None:
                sound.add_until(packet.pts * packet.time_base)
                packet.stream = video
                container.mux(packet)
        sound.add_until(None)
