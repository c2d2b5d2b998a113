"""Frames and sound as files, byte for byte the same on every run."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from av.codec.context import Flags
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

# Close to lossless for faces at a few hundred px; one thread, because the number of threads changes the bytes;
# a key frame every second and no B frames, because training reads short pieces at random; no macroblock tree, because
# with it about one file in three hundred comes out with other bytes.
X264 = {
    "preset": "veryfast",
    "crf": "18",
    "threads": "1",
    "g": "25",
    "bf": "0",
    "x264-params": "rc-lookahead=0:mbtree=0",
}
MP4 = {"movflags": "+faststart", "fflags": "+bitexact"}
AAC_BIT_RATE = 96_000
ACCURATE = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP | Interpolation.BITEXACT
BT601, LIMITED_RANGE = 6, 1  # what readers assume of small pictures; written down all the same


def write_mp4(
    path: Path,
    frames: Iterable[np.ndarray],
    fps: int | Fraction,
    audio: np.ndarray | None = None,
    audio_rate: int | None = None,
    comment: str | None = None,
) -> int:
    """Write H.264 (4:2:0) and, if there is sound, AAC. Return the number of frames.

    Args:
        path: the file, *.mp4.
        frames: (H, W, 3) uint8 RGB, all of one size, H and W even.
        fps: frames per second.
        audio: mono, (samples,) float32 in [-1, 1].
        audio_rate: Hz.
        comment: kept in the file's metadata.

    Raises:
        ValueError: there is no frame, or a frame's shape does not fit.
    """
    with av.open(f"file:{path}", "w", format="mp4", options=MP4) as container:
        if comment:
            container.metadata["comment"] = comment
        video = _Video(container, Fraction(fps), path)
        sound = None if audio is None else Sound(container, audio, audio_rate)
        for rgb in frames:
            video.add(rgb)
            if sound is not None:  # side by side, as the container wants them
                sound.add_until(video.count / video.fps)
        if not video.count:
            raise ValueError(f"{path}: no frame to write")
        video.flush()
        if sound is not None:
            sound.add_until(None)
    return video.count


def write_wav(path: Path, audio: np.ndarray, rate: int) -> None:
    """Write mono PCM16; audio is (samples,) float32 in [-1, 1]."""
    file = io.BytesIO()  # libsndfile does not say when a disk is full
    soundfile.write(file, np.clip(audio, -1, 1), rate, subtype="PCM_16", format="WAV")
    path.write_bytes(file.getvalue())


class _Video:
    def __init__(self, container: av.container.OutputContainer, fps: Fraction, path: Path) -> None:
        self.fps, self.count = fps, 0
        self._container, self._path, self._converter = container, path, VideoReformatter()
        self._stream = container.add_stream("libx264", rate=fps, options=X264)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.flags |= Flags.bitexact
        self._stream.codec_context.colorspace, self._stream.codec_context.color_range = BT601, LIMITED_RANGE
        self._shape: tuple[int, ...] | None = None

    def add(self, rgb: np.ndarray) -> None:
        self._check(rgb)
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        picture = self._converter.reformat(
            picture, format="yuv420p", dst_colorspace=Colorspace.ITU601, interpolation=ACCURATE, threads=1
        )
        picture.pts, picture.time_base = self.count, 1 / self.fps
        self._container.mux(self._stream.encode(picture))
        self.count += 1

    def flush(self) -> None:
        self._container.mux(self._stream.encode(None))

    def _check(self, rgb: np.ndarray) -> None:
        if self._shape is None:
            self._shape = rgb.shape
            if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.shape[0] % 2 or rgb.shape[1] % 2 or rgb.dtype != np.uint8:
                raise ValueError(
                    f"{self._path}: frames must be (H, W, 3) uint8, H and W even; got {rgb.shape} {rgb.dtype}"
                )
            self._stream.height, self._stream.width = rgb.shape[:2]
        if rgb.shape != self._shape:
            raise ValueError(f"{self._path}: frame {self.count} is {rgb.shape}, the first was {self._shape}")


class Sound:
    """Mono sound that goes into a container beside its pictures, as AAC."""

    def __init__(self, container: av.container.OutputContainer, audio: np.ndarray, rate: int | None) -> None:
        if not rate:
            raise ValueError("audio_rate is needed beside audio")
        self._container, self._rate, self._at = container, rate, 0
        self._samples = np.ascontiguousarray(np.clip(audio, -1, 1), dtype=np.float32)[None]
        self._stream = container.add_stream("aac", rate=rate, layout="mono")
        self._stream.bit_rate = AAC_BIT_RATE
        self._stream.codec_context.flags |= Flags.bitexact

    def add_until(self, seconds: Fraction | None) -> None:
        """Encode what begins before `seconds`; None: all that remains, and close."""
        size = self._stream.codec_context.frame_size or 1024
        while self._at < self._samples.shape[1] and (seconds is None or self._at < seconds * self._rate):
            piece = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(self._samples[:, self._at : self._at + size]), format="fltp", layout="mono"
            )
            piece.sample_rate, piece.time_base, piece.pts = self._rate, Fraction(1, self._rate), self._at
            self._container.mux(self._stream.encode(piece))
            self._at += size
        if seconds is None:
            self._container.mux(self._stream.encode(None))
