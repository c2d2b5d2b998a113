"""From words, emotion and person to the motion of a face: rig parameters and head pose, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from stages.corpus.demo.emotions import EMOTIONS, LEVELS, STYLES, Clip
from stages.corpus.demo.rig import INDEX, PARAMETERS
from stages.corpus.demo.speakers import Speaker
from stages.corpus.demo.visemes import mouth_track
from stages.corpus.demo.voice import SAMPLE_RATE, Speech

FPS = 25
_LARGEST_ANGLE = 12.0  # degrees
_BLINK = np.array([0.45, 1.0, 1.0, 0.7, 0.3])  # closing is faster than opening


@dataclass(frozen=True)
class Motion:
    """parameters: (n, 20) in the order of `rig.PARAMETERS`; angles: (n, 3) pitch, yaw, roll in radians; shift:
    (n, 2) of the head, in units of the outer eye corners' distance; blinks: [(start, end)] frames, end exclusive."""

    parameters: np.ndarray
    angles: np.ndarray
    shift: np.ndarray
    blinks: list[tuple[int, int]]


def loudness(speech: Speech, frames: int) -> np.ndarray:
    """Root mean square of the voice around each frame, (frames,), its 90th percentile at 1."""
    hop = SAMPLE_RATE / FPS
    edges = np.rint(np.arange(frames + 1) * hop).astype(int)
    padded = np.pad(speech.samples, (0, max(0, edges[-1] - len(speech.samples))))
    power = np.add.reduceat(padded.astype(np.float64) ** 2, edges[:-1])[:frames] / hop
    level = gaussian_filter1d(np.sqrt(power), 1.0)
    return level / max(float(np.percentile(level, 90)), 1e-6)


def _drift(rng: np.random.Generator, frames: int, columns: int, seconds: float) -> np.ndarray:
    """Slow smooth noise (frames, columns) of unit deviation, changing over about `seconds`."""
    sigma = seconds * FPS
    pad = int(4 * sigma)
    noise = gaussian_filter1d(rng.normal(size=(frames + 2 * pad, columns)), sigma, axis=0)[pad : pad + frames]
    return noise * np.sqrt(2 * sigma * np.sqrt(np.pi))


def _blinks(rng: np.random.Generator, frames: int, per_minute: float) -> tuple[np.ndarray, list[tuple[int, int]]]:
    track, spans = np.zeros(frames), []
    start = int(rng.uniform(0.3, 1.1) * FPS)
    while start + len(_BLINK) <= frames:
        track[start : start + len(_BLINK)] = _BLINK
        spans.append((start, start + len(_BLINK)))
        pause = rng.gamma(4.0, 60.0 / per_minute / 4.0)
        start += len(_BLINK) + int(max(pause, 0.5) * FPS)
    return track, spans


def emotion_face(speaker: Speaker, clip: Clip) -> np.ndarray:
    """How this speaker's face stands in the clip's emotion and level, rig parameters (20,)."""
    face = np.zeros(len(PARAMETERS))
    for name, value in EMOTIONS[clip.emotion].face.items():
        face[INDEX[name]] = value
    return LEVELS[clip.level] * (face * speaker.gain[clip.emotion] + speaker.offset[clip.emotion])


def make_motion(speech: Speech, speaker: Speaker, clip: Clip, seed: int) -> Motion:
    """Motion of a whole utterance: floor(duration x 25) frames, at least one."""
    table, strength = EMOTIONS[clip.emotion], LEVELS[clip.level]
    rng = np.random.default_rng([seed, clip.speaker, STYLES.index((clip.emotion, clip.level)), clip.number])
    frames = max(1, int(len(speech.samples) / SAMPLE_RATE * FPS))
    times = (np.arange(frames) + 0.5) / FPS
    loud = np.clip(loudness(speech, frames), 0, 1.6)

    mouth = mouth_track(speech.phonemes, times)
    openness = speaker.articulation * (1 + strength * (table.mouth - 1)) * (0.75 + 0.3 * loud)
    openness *= 1 + 0.06 * _drift(rng, frames, 1, 0.8)[:, 0]
    linear = mouth[:, : INDEX["lips_together"]]
    linear *= openness[:, None]

    swell = 1 + 0.06 * _drift(rng, frames, 1, 0.9) + 0.10 * (loud[:, None] - 0.6)
    parameters = mouth + swell * emotion_face(speaker, clip)
    beat = gaussian_filter1d(loud, 3.0) - 0.6
    for name in ("brow_raise_inner", "brow_raise_outer"):
        parameters[:, INDEX[name]] += 0.45 * table.brows * beat
    parameters += 0.012 * _drift(rng, frames, len(PARAMETERS), 0.15)
    jaw = parameters[:, INDEX["jaw_open"]]
    parameters[:, INDEX["jaw_open"]] = np.where(jaw > 0.5, 0.5 + 0.35 * np.tanh((jaw - 0.5) / 0.35), jaw)
    parameters[:, INDEX["lips_together"]] = mouth[:, INDEX["lips_together"]]
    parameters[:, INDEX["blink"]], spans = _blinks(rng, frames, table.blinks)

    energy = speaker.liveliness * (1 + strength * (table.head - 1))
    sway = _drift(rng, frames, 5, 0.45) * (0.55 + 0.45 * gaussian_filter1d(loud, 6.0))[:, None] * energy
    sway = 3.0 * np.tanh(sway / 3.0)
    degrees = sway[:, :3] * (1.8, 2.6, 1.6) + strength * np.array([table.nod, 0.0, table.tilt])
    degrees[:, 0] += 1.5 * energy * beat
    return Motion(parameters, np.deg2rad(np.clip(degrees, -_LARGEST_ANGLE, _LARGEST_ANGLE)), 0.03 * sway[:, 3:], spans)
