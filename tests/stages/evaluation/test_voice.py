"""Any sound file is a voice, whatever its name and its tags."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from stages.corpus.encode import write_wav
from stages.evaluation.voice import full_voice, read_voice


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
