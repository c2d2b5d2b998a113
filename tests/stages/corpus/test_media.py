"""One clip as a file to play."""

from __future__ import annotations

import numpy as np
import pytest

from stages import tables
from stages.corpus.crop import assemble, crop_shard, jobs
from stages.corpus.decode import read_audio, read_video
from stages.corpus.media import Clips
from stages.corpus.unpack import write_clip
from tests.stages.corpus.tiny_videos import RATE, item


def test_a_clip_as_a_file_has_the_stored_pictures_and_the_sound(tmp_path, film, crop):
    sources = tables.from_rows([item(film("a.mp4"))], tables.SOURCES)
    (work,), _ = jobs(sources, crop)
    (tmp_path / "shard").mkdir()
    crop_shard(tmp_path / "shard", *work)
    assemble([tmp_path / "shard"], sources, tmp_path / "clips", tmp_path / "landmarks", 8)
    clips = Clips(tmp_path / "clips")
    write_clip(clips, "a", tmp_path / "out.mp4")
    assert np.array_equal(read_video(tmp_path / "out.mp4", 25), clips.frames("a"))
    sound, heard = clips.audio("a"), read_audio(tmp_path / "out.mp4", RATE)
    assert abs(len(heard) - len(sound)) < 0.07 * RATE
    assert np.corrcoef(heard[: len(sound)], sound[: len(heard)])[0, 1] > 0.98
    with pytest.raises(KeyError):
        write_clip(clips, "b", tmp_path / "b.mp4")
    assert not (tmp_path / "b.mp4").exists()
