"""Files come back as they were written, and are the same bytes every time."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from stages.corpus.decode import read_audio, read_video
from stages.corpus.encode import write_mp4, write_wav
from tests.stages.corpus.tiny_videos import RATE, hum, nod


def test_mp4_round_trip(tmp_path, face):
    pictures, sound = np.stack(nod(face, 20)), hum(0.8)
    assert write_mp4(tmp_path / "x.mp4", pictures, 25, sound, RATE) == 20
    back, heard = read_video(tmp_path / "x.mp4", 25), read_audio(tmp_path / "x.mp4", RATE)
    assert back.shape == pictures.shape
    psnr = 10 * np.log10(255**2 / np.mean((back.astype(float) - pictures) ** 2, axis=(1, 2, 3)))
    assert psnr.min() > 35
    assert abs(len(heard) - len(sound)) <= 1024
    assert np.abs(heard[500:12000] - sound[500:12000]).max() < 0.05  # not a sample late


def test_bytes_are_the_same_every_time(tmp_path, face):
    for name in ("a.mp4", "b.mp4"):
        write_mp4(tmp_path / name, nod(face, 10), 25, hum(0.4), RATE)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_wav_is_mono_pcm16_and_clips(tmp_path):
    write_wav(tmp_path / "x.wav", np.array([0, 0.5, 2, -2], np.float32), RATE)
    samples, rate = soundfile.read(tmp_path / "x.wav")
    assert rate == RATE
    assert np.allclose(samples, [0, 0.5, 1, -1], atol=1e-4)


@pytest.mark.parametrize("shapes", [[], [(31, 32, 3)], [(32, 32, 3), (32, 34, 3)], [(32, 32)]])
def test_frames_that_make_no_video_are_refused(tmp_path, shapes):
    with pytest.raises(ValueError, match=r"x\.mp4"):
        write_mp4(tmp_path / "x.mp4", [np.zeros(shape, np.uint8) for shape in shapes], 25)
    assert not (tmp_path / "x.mp4").exists()
