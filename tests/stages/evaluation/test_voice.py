"""Any sound file is a voice, whatever its name and its tags."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from stages.corpus.encode import write_wav
from stages.evaluation.voice import full_voice, read_voice
from tests.stages.corpus.tiny_videos import write_flash


def tag(path: Path, artist: bytes) -> None:
    """Write an artist's name into a WAV, an even number of bytes in whatever encoding."""
    info = b"INFOIART" + struct.pack("<I", len(artist)) + artist
    content = path.read_bytes() + b"LIST" + struct.pack("<I", len(info)) + info
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])


@pytest.mark.parametrize("name", ["voice.wav", "2024-01-02T12:30:00.wav"])
@pytest.mark.parametrize(("rate", "kept"), [(44_100, 48_000), (16_000, 16_000), (8_000, 16_000)])
def test_a_voice_with_any_name_and_tag(tmp_path: Path, monkeypatch, name: str, rate: int, kept: int) -> None:
    monkeypatch.chdir(tmp_path)
    write_wav(Path(name), np.float32(0.3 * np.sin(np.arange(rate // 2) * 2 * np.pi * 220 / rate)), rate)
    tag(Path(name), "José B".encode("latin-1"))
    heard = read_voice(Path(name), 16_000)
    full, full_rate = full_voice(Path(name), heard, 16_000)
    assert full_rate == kept
    assert len(full) == len(heard) * kept // 16_000
    assert np.abs(full).max() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("begins", [{"video": 1.0}, {"audio": 1.0}])
def test_a_voice_begins_with_its_own_sound_whenever_the_picture_does(tmp_path: Path, suffix: str, begins: dict) -> None:
    path = tmp_path / f"x{suffix}"
    write_flash(path, 4, 2.0, **begins)
    heard = read_voice(path, 16_000)
    cut = begins.get("audio", 0.0)
    assert np.abs(heard).argmax() / 16_000 == pytest.approx(2.0 - cut, abs=0.1)
    assert len(heard) / 16_000 == pytest.approx(4.0 - cut, abs=0.1)


def test_of_two_sounds_the_default_one_is_heard(tmp_path: Path) -> None:
    path = tmp_path / "screen.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("aac", rate=16_000, layout="mono") for _ in range(2)]
        streams[0].disposition, streams[1].disposition = 0, Disposition.default
        for stream, level in zip(streams, (0.0, 0.3), strict=True):
            wave = np.float32(level * np.sin(np.arange(16_000) / 10))[None]
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate = 16_000
            container.mux([*stream.encode(frame), *stream.encode(None)])
    assert np.abs(read_voice(path, 16_000)).max() > 0.2
