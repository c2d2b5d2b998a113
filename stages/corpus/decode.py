"""Any video or sound file as plain arrays: frames at a constant rate, sound at a given rate, on one clock.

The clock's zero is the first video frame that can be decoded, which a file that begins between two key frames has
some seconds after its first sound; where a file has no video, it is the first sample.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

MAX_GAP_S = 10  # a longer silence between two frames' timestamps is damage, not a still picture
MAX_MUTE_S = 600  # a longer one in the sound's is damage, not a microphone that was off for a while
AUDIO_SLACK_S = 0.02  # smaller steps of the sound's clock are rounding, not gaps
PREROLL_S = 0.5  # sound decoded before the part that is wanted: decoders need some to settle
MIN_READABLE = 0.9  # share of the length that the file declares
OVERRUN_S = 1.0  # a part may end so much later than its file: lists round

av.logging.set_level(av.logging.PANIC)  # damage is reported as an exception that names the file


class MediaError(ValueError):
    """A file cannot be used; the text says why, without the file's name."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file declares: upright size in px, mean frame rate, length in seconds (0 if it does not say)."""

    width: int
    height: int
    fps: float
    seconds: float
    has_audio: bool


def probe(path: Path) -> VideoInfo:
    """Open a video and decode its first frame.

    Raises:
        MediaError: it is empty, cannot be read, or has no video stream.
    """
    with opened(path) as container:
        stream = _video_stream(container)
        frame = next(container.decode(stream), None)
        if frame is None:
            raise MediaError("has no readable video frame")
        height, width = _Upright(stream)(frame).shape[:2]
        fps, has_audio = float(stream.average_rate or 0), bool(container.streams.audio)
        return VideoInfo(width, height, fps, _seconds(stream), has_audio)


def frames(path: Path, fps: float, start: float = 0.0, end: float | None = None) -> Iterator[np.ndarray]:
    """Yield (H, W, 3) uint8 RGB frames, upright, one every 1/fps seconds: each time the nearest frame of the source.

    Rotation flags, pixels that are not square and variable frame rates are honoured. A frame may be yielded twice;
    do not write to it. Memory holds two frames.

    Args:
        start: seconds on the clock at which the first frame stands; what lies before is skipped, not decoded.
        end: seconds at which to stop; None: with the file.

    Raises:
        MediaError: the file cannot be read, is damaged, or ends long before its declared length, before `start` or
            before `end`.
    """
    step = 1 / Fraction(fps).limit_denominator(1001)
    begin = Fraction(start).limit_denominator(1000)
    zero = _zero(path)
    with opened(path) as container:
        stream = _video_stream(container)
        declared = _seconds(stream)
        if end is not None and declared and end > declared + OVERRUN_S:
            raise MediaError(f"is {declared:.1f} s long, but the part that is wanted ends at {end:.1f} s")
        wanted = min(declared, end or declared) - start
        most = math.inf if end is None else round(float((Fraction(end).limit_denominator(1000) - begin) / step))
        upright, shown, until = _Upright(stream), 0, Fraction(0)
        for (time, frame), (following, successor) in pairwise(_timed(container, stream, zero, begin)):
            until = following if successor is None else (time + following) / 2
            rgb = None
            while begin + shown * step < until and shown < most:
                if rgb is None:
                    rgb = upright(frame)
                yield rgb
                shown += 1
            if shown >= most:
                break
    if not shown and start:
        raise MediaError(f"ends before {start:.1f} s, where the part that is wanted begins")
    if shown * step < MIN_READABLE * wanted - 2 * step:
        raise MediaError(f"is cut off: {float(shown * step):.1f} s of {wanted:.1f} s can be read")
    if not shown:
        raise MediaError("has no readable video frame")


def read_video(path: Path, fps: float) -> np.ndarray:
    """All of :func:`frames`, (n, H, W, 3) uint8."""
    return np.stack(list(frames(path, fps)))


def read_audio(
    path: Path, rate: int, start: float = 0.0, end: float | None = None, *, alone: bool = False
) -> np.ndarray:
    """The sound, mixed to mono: (samples,) float32 in [-1, 1], sample 0 at `start` on the picture's clock.

    Of several streams it is the one that the file marks as default, else the first. Gaps in the sound's timestamps
    become silence, so that sound and picture do not drift apart. From `end` (seconds) on there is no sound; None: all
    of it. `alone`: the clock is the sound's own, whenever the picture begins.

    Raises:
        MediaError: the file cannot be read, has no sound, a gap of more than MAX_MUTE_S in it, or samples that are no
            numbers.
    """
    zero = None if alone else _zero(path)
    with opened(path) as container:
        stream = _sound_stream(container)
        track = _Track(rate)
        for frame in _from(container, stream, None if zero is None else zero + start - PREROLL_S):
            if zero is None:
                zero = frame.time or 0.0
            if end is not None and frame.time is not None and frame.time - zero > end:
                break
            track.add(frame, zero + start)
        samples = track.samples()[: None if end is None else max(0, round((end - start) * rate))]
        if not np.isfinite(samples).all():
            raise MediaError("has sound with samples that are not finite numbers")
        return samples


def sound_rate(path: Path) -> int:
    """Hz of the sound that :func:`read_audio` reads, as the file has it.

    Raises:
        MediaError: the file cannot be read, or has no sound.
    """
    with opened(path) as container:
        return _sound_stream(container).codec_context.sample_rate


class _Track:
    """Sound chunks laid on a time line."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._resampler = self._new_resampler()
        self._chunks: list[np.ndarray] = []
        self._length = 0  # samples laid down
        self._fed = 0.0  # seconds of sound given to the resampler since it was new
        self._origin = 0  # where its first sample stands
        self._skip = 0  # samples before the clock's zero, to be dropped

    def add(self, frame: av.AudioFrame, start: float) -> None:
        if frame.time is not None:
            stands = frame.time - start
            gap = stands - (self._origin / self.rate + self._fed)
            if abs(gap) > AUDIO_SLACK_S:
                self._move(round(stands * self.rate))
        self._fed += frame.samples / frame.sample_rate
        frame.pts = None
        for out in self._resampler.resample(frame):
            self._lay(out)

    def samples(self) -> np.ndarray:
        self._drain()
        return np.concatenate([*self._chunks, np.zeros(0, np.float32)])

    def _move(self, position: int) -> None:
        self._drain()
        here = self._length - self._skip
        if position - here > MAX_MUTE_S * self.rate:
            gap, before = (position - here) / self.rate, here / self.rate
            raise MediaError(f"is damaged: no sound for {gap:.0f} s after {before:.1f} s")
        if position > here:
            self._append(np.zeros(position - here, np.float32))
        else:
            self._skip += here - position
        self._origin, self._fed = position, 0.0
        self._resampler = self._new_resampler()

    def _drain(self) -> None:
        if self._fed:
            for out in self._resampler.resample(None):
                self._lay(out)

    def _lay(self, frame: av.AudioFrame) -> None:
        self._append(frame.to_ndarray()[0])

    def _append(self, chunk: np.ndarray) -> None:
        dropped = min(self._skip, len(chunk))
        self._skip -= dropped
        self._chunks.append(np.clip(chunk[dropped:], -1, 1))
        self._length += len(chunk) - dropped

    def _new_resampler(self) -> av.AudioResampler:
        return av.AudioResampler(format="fltp", layout="mono", rate=self.rate)


class _Upright:
    """Decoded frame -> upright RGB array with square pixels; keeps the converter, whose set-up is slow."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._converter = VideoReformatter()
        self._aspect = stream.sample_aspect_ratio or Fraction(1)

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        width = frame.width if self._aspect == 1 else 2 * round(frame.width * self._aspect / 2)
        rgb = self._converter.reformat(frame, width, frame.height, format="rgb24", threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90) % 4)) if frame.rotation else rgb


@contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A video or sound file, open: whatever its name is and whatever bytes its tags have.

    Raises:
        MediaError: it is empty, or FFmpeg has an error with it, here or inside the block.
    """
    if path.stat().st_size == 0:
        raise MediaError("is empty (zero bytes)")
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            yield container
    except (av.FFmpegError, UnicodeError) as error:
        raise MediaError(f"cannot be read as video or sound: {_said(error)}") from error


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _video_stream(container: av.container.InputContainer) -> av.VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    raise MediaError("has no video stream")


def _sound_stream(container: av.container.InputContainer) -> av.AudioStream:
    if not (streams := container.streams.audio):
        raise MediaError("has no sound")
    return next((stream for stream in streams if stream.disposition & av.stream.Disposition.default), streams[0])


def _zero(path: Path) -> Fraction | None:
    """Time of the first video frame that can be decoded, in the file's own clock; None where there is no video.

    Where none can, the time at which the video is said to begin: its sound may be all that is wanted.
    """
    with opened(path) as container:
        try:
            stream = _video_stream(container)
        except MediaError:
            return None
        frame = None
        with suppress(av.FFmpegError):
            frame = next(_from(container, stream, None), None)
        if frame is None or frame.pts is None:
            return (stream.start_time or 0) * stream.time_base
        return frame.pts * frame.time_base


def _seconds(stream: av.VideoStream) -> float:
    """What the file says of the video's length; Matroska says in a tag when it ends, or how long the whole file is."""
    if stream.duration:
        return float(stream.duration * stream.time_base)
    clock = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", ""))
    if clock:
        hours, minutes, seconds = map(float, clock.groups())
        return 3600 * hours + 60 * minutes + seconds - float((stream.start_time or 0) * stream.time_base)
    return (stream.container.duration or 0) / av.time_base


def _timed(
    container: av.container.InputContainer, stream: av.VideoStream, zero: Fraction, start: Fraction
) -> Iterator[tuple[Fraction, av.VideoFrame | None]]:
    """(time since `zero`, frame) in order of time, from the last key frame before `start` on; last comes (end of the
    last frame, None)."""
    usual = 1 / (stream.average_rate or Fraction(25))
    last, length = None, usual
    for frame in _from(container, stream, float(zero + start) if start else None):
        if frame.pts is None:
            time = Fraction(0) if last is None else last + usual
        else:
            time = frame.pts * frame.time_base - zero
        if last is not None and time <= last:
            continue
        if last is not None and time - last > MAX_GAP_S:
            raise MediaError(f"is damaged: no frame for {float(time - last):.0f} s after {float(last):.1f} s")
        last, length = time, (frame.duration * frame.time_base if frame.duration else usual)
        yield time, frame
    if last is not None:
        yield last + min(length, MAX_GAP_S), None


def _from(
    container: av.container.InputContainer, stream: av.VideoStream | av.AudioStream, time: float | None
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Decoded frames from a time of the file's own clock on, the first one no later; None: from the beginning."""
    if stream.codec_context:  # there is none for a codec that FFmpeg does not know, which decoding will say
        stream.codec_context.thread_count = 1  # clips are what runs in parallel
    if time is not None and time > (stream.start_time or 0) * stream.time_base:
        container.seek(round(time / stream.time_base), stream=stream)
        frames = _decoded(container, stream)
        first = next(frames, None)
        if first is not None and first.time is not None and first.time <= time:
            yield first
            yield from frames
            return
        container.seek(stream.start_time or 0, stream=stream)  # the file's index leads astray
    yield from _decoded(container, stream)


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream | av.AudioStream
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Frames as they come; an error between them says after how much of the file it is."""
    time = None
    try:
        for frame in container.decode(stream):
            time = frame.time
            yield frame
    except av.FFmpegError as error:
        if time is None:
            raise
        raise MediaError(f"is damaged or cut off after {time:.1f} s: {_said(error)}") from error
