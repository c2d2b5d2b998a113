"""Frames at a constant rate and sound on the same clock, whatever the file is like."""

from __future__ import annotations

import av
import numpy as np
import pytest
import soundfile

from stages.corpus.decode import MediaError, frames, probe, read_audio, read_video
from stages.corpus.encode import write_mp4
from tests.stages.corpus.tiny_videos import RATE, turn, write_flash, write_times

SHADE = 200  # grey level = SHADE * time in s


def shades(times_ms):
    return [np.full((32, 48, 3), round(SHADE * t / 1000), np.uint8) for t in times_ms]


def clock_error(video: np.ndarray, fps: int) -> float:
    """Largest difference, in s, between when a frame is shown and when it was taken."""
    return float(np.abs(video.mean(axis=(1, 2, 3)) / SHADE - np.arange(len(video)) / fps).max())


@pytest.mark.parametrize("rate", [8, 24, 30, 60])
def test_any_rate_becomes_25_within_half_a_source_frame(tmp_path, rate):
    times = [round(1000 * i / rate) for i in range(rate)]
    write_times(tmp_path / "x.mp4", shades(times), times)
    video = read_video(tmp_path / "x.mp4", 25)
    assert abs(len(video) - 25) <= 25 / rate + 1
    assert clock_error(video, 25) <= 0.5 / rate + 0.012  # the latter: rounding of shades and of the clock


def test_variable_rate_keeps_the_clock(tmp_path):
    rng = np.random.default_rng(0)
    times = np.cumsum([0, *rng.integers(10, 90, 20)]).tolist()
    write_times(tmp_path / "x.mp4", shades(times), times)
    video = read_video(tmp_path / "x.mp4", 25)
    assert clock_error(video, 25) <= 0.045 + 0.012
    assert abs(len(video) / 25 - times[-1] / 1000) < 0.1


def test_a_rotation_flag_is_honoured(tmp_path):
    left_red = np.zeros((32, 48, 3), np.uint8)
    left_red[:, :24, 0] = 255
    path = tmp_path / "x.mp4"
    write_mp4(path, [left_red] * 3, 25)
    turn(path)
    video = read_video(path, 25)
    assert video.shape[1:] == (48, 32, 3)
    assert video[0, :20, :, 0].mean() > 200 > 50 > video[0, 28:, :, 0].mean()  # clockwise: left is now at the top
    assert (probe(path).width, probe(path).height) == (32, 48)


def test_flash_and_click_stay_together(tmp_path):
    """A frame of white and a burst of noise every 0.4 s, at 30 fps and 44.1 kHz, are found in the same 25 fps frame."""
    rate, fps, seconds = 44100, 30, 4
    marks = np.arange(0.4, seconds, 0.4)
    pictures = np.zeros((fps * seconds, 32, 32, 3), np.uint8)
    sound = np.zeros(rate * seconds, np.float32)
    for mark in marks:
        pictures[round(mark * fps)] = 255
        sound[round(mark * rate) : round(mark * rate) + 400] = 0.5 * np.sin(np.arange(400))
    write_mp4(tmp_path / "x.mp4", pictures, fps, sound, rate)
    bright = [i / 25 for i, rgb in enumerate(frames(tmp_path / "x.mp4", 25)) if rgb.mean() > 128]
    heard = read_audio(tmp_path / "x.mp4", RATE)
    loud = np.flatnonzero(np.abs(heard) > 0.2) / RATE
    clicks = loud[np.diff(loud, prepend=-1) > 0.1]
    assert len(clicks) == len(marks)
    assert all(min(abs(np.array(bright) - click)) < 1 / 25 for click in clicks)
    assert np.abs(clicks - marks).max() < 0.005
    assert abs(len(heard) / RATE - seconds) < 0.04


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
@pytest.mark.parametrize("begins", [{}, {"video": 0.2, "audio": 0.2}, {"video": 0.2}, {"audio": 0.2}])
@pytest.mark.parametrize("part", [(0.0, None), (4.0, 9.0)])
def test_flash_and_click_stay_together_wherever_the_file_begins(tmp_path, suffix, begins, part):
    path = tmp_path / f"x{suffix}"
    write_flash(path, 12, 8.0, **begins)
    (flash,) = (i / 25 for i, rgb in enumerate(frames(path, 25, *part)) if rgb.mean() > 128)
    click = np.abs(read_audio(path, RATE, *part)).argmax() / RATE
    assert abs(flash - click) < 0.04
    assert flash + part[0] == pytest.approx(7.0 if "video" in begins else 8.0)


def test_sound_beside_a_picture_that_cannot_be_decoded(tmp_path):
    path = tmp_path / "x.mp4"
    write_flash(path, 1, 0.5)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    assert np.abs(read_audio(path, RATE)).argmax() / RATE == pytest.approx(0.5, abs=0.03)
    with pytest.raises(MediaError, match="Decoder not found"):
        read_video(path, 25)


def test_sound_that_cannot_be_decoded(tmp_path):
    path = tmp_path / "x.mkv"
    write_flash(path, 1, 0.5)
    path.write_bytes(path.read_bytes().replace(b"A_AAC", b"A_ZZZ"))
    with pytest.raises(MediaError, match="Decoder not found"):
        read_audio(path, RATE)


def test_no_sound(tmp_path):
    write_mp4(tmp_path / "x.mp4", np.zeros((3, 32, 32, 3), np.uint8), 25)
    with pytest.raises(MediaError, match="no sound"):
        read_audio(tmp_path / "x.mp4", RATE)


def test_sound_that_is_no_number(tmp_path):
    samples = np.zeros(RATE, np.float32)
    samples[100] = np.nan
    soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(MediaError, match="not finite"):
        read_audio(tmp_path / "x.wav", RATE)


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_mixed_to_one(tmp_path, channels):
    tone = 0.2 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", np.stack([tone] * channels, 1), RATE)
    heard = read_audio(tmp_path / "x.wav", RATE)
    assert heard.shape == (RATE,)
    assert np.corrcoef(heard, tone)[0, 1] > 0.999


@pytest.mark.parametrize(("content", "reason"), [(b"", "zero bytes"), (b"not a video" * 99, "cannot be read")])
def test_what_is_no_video_says_so(tmp_path, content, reason):
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(MediaError, match=reason):
        probe(tmp_path / "x.mp4")


def test_a_file_that_was_cut_off_is_not_taken_for_a_short_one(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "x.mp4"
    write_mp4(path, rng.integers(0, 255, (50, 64, 64, 3), np.uint8), 25)  # its index stands at the front
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match=r"cut off|cannot be read"):
        read_video(path, 25)


def test_matroska_that_was_cut_off(tmp_path):
    rng = np.random.default_rng(0)
    with av.open(str(tmp_path / "x.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        for rgb in rng.integers(0, 255, (50, 64, 64, 3), np.uint8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    assert len(read_video(tmp_path / "x.mkv", 25)) == 50
    data = (tmp_path / "x.mkv").read_bytes()
    (tmp_path / "x.mkv").write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match=r"cut off"):
        read_video(tmp_path / "x.mkv", 25)


def test_matroska_whose_picture_begins_after_its_sound_is_whole(tmp_path):
    write_flash(tmp_path / "x.mkv", 4, 2.0, video=1.0)
    assert probe(tmp_path / "x.mkv").seconds == pytest.approx(3.0)
    assert len(read_video(tmp_path / "x.mkv", 25)) == 75


def test_a_gap_in_the_sound_is_silence_and_one_of_hours_is_damage(tmp_path):
    path = tmp_path / "x.mkv"
    write_flash(path, 4, 2.0, late_s=20)
    assert len(read_audio(path, RATE)) / RATE == pytest.approx(24.0, abs=0.1)
    write_flash(path, 4, 2.0, late_s=20_000)
    with pytest.raises(MediaError, match=r"is damaged: no sound for 20000 s after 2\.\d s"):
        read_audio(path, RATE)
    assert len(read_audio(path, RATE, 0.0, 1.0)) == RATE  # what is wanted lies before the damage
    assert 2.0 < len(read_audio(path, RATE, 0.0, 3.0)) / RATE < 2.1
