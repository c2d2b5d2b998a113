"""Frames, sounds and odd files for the corpus tests."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from stages import tables
from stages.files import quoted, sha256

RATE = 16000


def nod(face: np.ndarray, count: int) -> list[np.ndarray]:
    """The face, moving a little."""
    shifts = [4 * np.sin(i / 5) for i in range(count)]
    size = face.shape[1], face.shape[0]
    return [
        cv2.warpAffine(face, np.float32([[1, 0, s], [0, 1, s / 2]]), size, borderMode=cv2.BORDER_REPLICATE)
        for s in shifts
    ]


def two_faces(face: np.ndarray, share: float) -> list[np.ndarray]:
    """The face nodding at the right of a wide picture, and it again at the left, still and smaller by `share`."""
    small = cv2.resize(face, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    pictures = []
    for rgb in nod(face, 15):
        wide = np.full((260, 480, 3), 100, np.uint8)
        wide[20:244, 240:464] = rgb
        wide[30 : 30 + len(small), 20 : 20 + len(small)] = small
        pictures.append(wide)
    return pictures


def hum(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def write_times(path: Path, frames: Iterable[np.ndarray], times_ms: Iterable[int]) -> None:
    """A video whose frames stand at any times."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000, options={"preset": "ultrafast", "bf": "0"})
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 1000)
        for rgb, time in zip(frames, times_ms, strict=True):
            if time == 0:
                stream.height, stream.width = rgb.shape[:2]
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_flash(path: Path, seconds: float, mark: float, late_s: int = 0, **from_s: float) -> None:
    """A video with a key frame a second: a white frame and a click at `mark`; packets before `from_s` (video, audio; in
    seconds) are left out, as where a stream is copied from anywhere on. Sound from `mark` on is late by `late_s`."""
    with av.open(str(path), "w") as container:
        options = {"g": "25", "keyint_min": "25", "sc_threshold": "0", "bf": "2", "preset": "ultrafast"}
        video = container.add_stream("libx264", rate=25, options=options)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        packets = []
        for i in range(round(25 * seconds)):
            shade = 255 if i == round(25 * mark) else 0
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), shade, np.uint8), format="rgb24")
            frame.pts = i
            packets += video.encode(frame)
        sound = np.zeros((1, round(RATE * seconds)), np.float32)
        sound[0, round(RATE * mark) :][:400] = 0.5 * np.sin(np.arange(400))
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        packets += [*video.encode(None), *audio.encode(frame), *audio.encode(None)]
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            if late_s and packet.stream.type == "audio" and packet.pts * packet.time_base >= mark:
                packet.pts = packet.dts = packet.pts + late_s * RATE
            if packet.pts * packet.time_base >= from_s.get(packet.stream.type, 0):
                container.mux(packet)


def turn(path: Path) -> None:
    """Set an mp4's display matrix to a quarter turn clockwise, as telephones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of other fields
    data[at : at + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def item(path: Path, audio: Path | None = None, **given: object) -> dict:
    """The row that ingest would write."""
    return {
        **dict.fromkeys(tables.SOURCES.names), "item_id": path.stem, "corpus": "test", "speaker": "A", "status": "ok",
        "path": quoted(path), "audio_path": audio and quoted(audio), "audio_sha256": audio and sha256(audio),
        "origin": path.name, "bytes": path.stat().st_size, "sha256": sha256(path), **given,
    }  # fmt: skip
