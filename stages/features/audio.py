"""Stage `audio`: acoustic features at 50 Hz, rows 2i and 2i + 1 beside video frame i.

Either log-mel bands with pitch, voicing and energy, which need nothing but the sound, or the last hidden states of a
pretrained speech network, as in the paper (wav2vec 2.0).
"""

from __future__ import annotations

import math
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stages import columns, params, shards
from stages.corpus import media
from stages.features.speech_network import HOP, RATE, CheckpointError, hidden_states
from stages.files import fresh_dir, sha256
from stages.program import one_line_errors

ROWS_PER_FRAME = 2
FRAME_RATE = RATE // (HOP * ROWS_PER_FRAME)

WINDOW = 400
PRE_EMPHASIS = 0.97
LOWEST_BAND_HZ = 60.0
SPECTRUM = 1024
FLOOR = 1e-7  # of band power; about the noise of 16-bit sound

PITCH_HZ = (65.0, 420.0)
PITCH_WINDOW = 1024
ROWS_AT_ONCE = 4096  # bounds the memory that pitch takes; rows do not see each other
OCTAVE_COST = 0.02  # a lower octave must correlate better by so much per octave
VOICED = 0.5  # normalised autocorrelation of the weakest voiced sound

# Means and standard deviations over speech, so that features have about unit variance. They are constants, not taken
# from each clip, because level and pitch carry emotion.
MEL = (-5.0, 4.0)
LOG_F0 = (math.log(160.0), 0.35)
ENERGY = (-3.8, 1.4)

CLIPS = Path("data/clips")
OUT = Path("data/audio")
CODE = ("stages/features", "stages/corpus/media.py")  # what decides a shard's bytes


def extract(samples: np.ndarray, rate: int, settings: params.Audio, frames: int | None = None) -> np.ndarray:
    """Features of a sound.

    Args:
        samples: (samples,) mono in [-1, 1], at least one.
        rate: Hz; other rates than 16 kHz are resampled.
        settings: section `audio` of the parameters.
        frames: video frames at 25 fps that stand beside the sound, which is cut or filled with silence to their
            length; None takes as many as the sound touches.

    Returns:
        (2 * frames, C) float32, C = mel_bands + 3 for "logmel", else the network's width. Log-mel row r is centred on
        sample 320 r of the sound at 16 kHz.

    Raises:
        ValueError: the sound is empty, not mono or not finite.
        CheckpointError: the pretrained network is neither a local folder nor to be had from the hub.
    """
    if samples.ndim != 1 or not samples.size:
        raise ValueError(f"expected mono sound with at least one sample, got an array of shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise ValueError("the sound has samples that are not finite numbers")
    if rate != RATE:
        from scipy.signal import resample_poly  # not needed by most, and slow to import

        common = math.gcd(rate, RATE)
        samples = resample_poly(samples.astype(np.float64), RATE // common, rate // common)
    if frames is None:
        frames = math.ceil(len(samples) / (RATE / FRAME_RATE))
    rows = ROWS_PER_FRAME * frames
    sound = torch.from_numpy(np.ascontiguousarray(samples[: rows * HOP], dtype=np.float32))
    sound = functional.pad(sound, (0, rows * HOP - len(sound)))
    if settings.features == "logmel":
        return log_mel(sound, settings.mel_bands).numpy()
    return hidden_states(sound, settings.checkpoint, settings.chunk_seconds).numpy()


def rows_around(features: np.ndarray, window: int = 5) -> np.ndarray:
    """The rows that :func:`windows` cuts from: (2n, C) → (2n + 2 * window - 1, C), a fifth of the memory."""
    return np.pad(features, ((window, window - 1), (0, 0)))


def windows(features: Any, window: int = 5) -> Any:
    """The audio around each frame.

    Args:
        features: (2n, C) array or tensor.
        window: rows taken either side of row 2i, zeros beyond the ends.

    Returns:
        (n, 2 * window + 1, C), of the kind that came in.
    """
    is_tensor = isinstance(features, Tensor)
    centres = np.arange(0, len(features), ROWS_PER_FRAME)
    index = centres[:, None] + np.arange(-window, window + 1)
    inside = ((index >= 0) & (index < len(features)))[..., None]
    index = index.clip(0, len(features) - 1)
    if is_tensor:
        gathered = features[torch.from_numpy(index).to(features.device)]
        return gathered * torch.from_numpy(inside).to(features)
    return features[index] * inside.astype(features.dtype)


def log_mel(sound: Tensor, bands: int) -> Tensor:
    """Log-mel bands, log-pitch (0 where unvoiced), voicing and energy.

    Args:
        sound: (rows * 320,) at 16 kHz.
        bands: M.

    Returns:
        (rows, M + 3), each of about zero mean and unit variance over speech.
    """
    rows = len(sound) // HOP
    emphasised = torch.cat([sound[:1], sound[1:] - PRE_EMPHASIS * sound[:-1]])
    spectrum = torch.stft(
        emphasised,
        SPECTRUM,
        hop_length=HOP,
        win_length=WINDOW,
        window=torch.hann_window(WINDOW),
        pad_mode="constant",
        return_complex=True,
    )
    power = spectrum[:, :rows].abs().square().T @ _mel_filters(bands)
    mel = _normalise((power + FLOOR).log(), MEL)
    f0, voicing, energy = pitch(sound)
    voiced = voicing > VOICED
    log_f0 = torch.where(voiced, _normalise(f0.log(), LOG_F0), 0.0)
    extra = torch.stack([log_f0, 2 * voicing - 1, _normalise((energy + FLOOR).log() / 2, ENERGY)], 1)
    return torch.cat([mel, extra], 1).float()


def pitch(sound: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fundamental frequency by autocorrelation, the window's own divided out (Boersma 1993).

    Args:
        sound: (rows * 320,) at 16 kHz.

    Returns:
        Hz (rows,), voicing in [0, 1] (rows,), and mean square amplitude (rows,). Hz means little where voicing is low.
    """
    rows = len(sound) // HOP
    padded = functional.pad(sound, (PITCH_WINDOW // 2, PITCH_WINDOW // 2))
    parts = [_pitch(frames) for frames in padded.unfold(0, PITCH_WINDOW, HOP)[:rows].split(ROWS_AT_ONCE)]
    f0, voicing, energy = (torch.cat(part) for part in zip(*parts, strict=True))
    return f0, voicing, energy


def _pitch(frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`pitch`, of frames (rows, PITCH_WINDOW)."""
    energy = frames.square().mean(1)
    window = torch.hann_window(PITCH_WINDOW)
    correlation = _autocorrelation((frames - frames.mean(1, keepdim=True)) * window) / _autocorrelation(window)
    normalised = correlation / (correlation[:, :1] + FLOOR)

    shortest, longest = round(RATE / PITCH_HZ[1]), round(RATE / PITCH_HZ[0])
    lags = torch.arange(shortest, longest + 1)
    inner = normalised[:, shortest : longest + 1]
    is_peak = (inner >= normalised[:, shortest - 1 : longest]) & (inner >= normalised[:, shortest + 1 : longest + 2])
    score = torch.where(is_peak, inner - OCTAVE_COST * (lags / shortest).log2(), -1.0)
    best = score.argmax(1, keepdim=True)
    before, at, after = (normalised.gather(1, best + shortest + step)[:, 0] for step in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = torch.where(bend < 0, 0.5 * (before - after) / bend.clamp(max=-1e-9), 0.0).clamp(-1, 1)
    return RATE / (lags[best[:, 0]] + shift), at.clamp(0, 1), energy


def _normalise(values: Tensor, mean_std: tuple[float, float]) -> Tensor:
    return (values - mean_std[0]) / mean_std[1]


def _autocorrelation(frames: Tensor) -> Tensor:
    size = frames.shape[-1]
    return torch.fft.irfft(torch.fft.rfft(frames, 2 * size).abs().square())[..., : size // 2]


@lru_cache
def _mel_filters(bands: int) -> Tensor:
    """(SPECTRUM // 2 + 1, bands): triangles of equal peak, evenly spread over the mel scale of O'Shaughnessy (1987)."""
    edges = torch.linspace(_mel(LOWEST_BAND_HZ), _mel(RATE / 2), bands + 2, dtype=torch.float64)
    edges = 700 * ((edges / 1127).exp() - 1)
    bins = torch.linspace(0, RATE / 2, SPECTRUM // 2 + 1, dtype=torch.float64)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0).float()


def _mel(hz: float) -> float:
    return 1127 * math.log1p(hz / 700)


def extract_shard(folder: Path, clips: Path, frames: dict[str, int], settings: dict) -> None:
    """Features of some clips, written as folder/shard.arrow.

    Args:
        clips: the folder of cropped clips.
        frames: by clip id, the number of video frames.
        settings: section `audio` as a mapping.
    """
    torch.set_num_threads(1)
    source, audio = media.Clips(clips), params.Audio(**settings)
    rows = [
        {columns.KEY: clip_id, "features": extract(source.audio(clip_id), _rate(source, clip_id), audio, n)}
        for clip_id, n in frames.items()
    ]
    columns.write_shard(folder / "shard.arrow", rows)


def _rate(source: media.Clips, clip_id: str) -> int:
    return int(source.table.loc[clip_id, "audio_rate"])


def _network(settings: params.Audio) -> dict[str, str] | None:
    """The hashes of a local network's files; None where none is used, or the hub's name is all that is known of it."""
    folder = Path(settings.checkpoint)
    if settings.features == "logmel" or not folder.is_dir():
        return None
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}


def run(clips: Path, out: Path, settings: params.Audio, executor: str = shards.PROCESSES) -> dict[str, float]:
    """Write the features of all clips, a shard beside each shard of clips; return counts."""
    table = media.Clips(clips).table
    groups = {name: dict(zip(g["clip_id"], g["frames"], strict=True)) for name, g in sorted(table.groupby("shard"))}
    dump = settings.model_dump(mode="json")
    same = (shards.code_version(*CODE), dump, _network(settings))
    jobs = [(clips, {clip: int(n) for clip, n in sorted(frames.items())}, dump) for frames in groups.values()]
    keys = [shards.shard_key(*same, job[1], sha256(clips / name)) for name, job in zip(groups, jobs, strict=True)]
    folders = shards.run_shards(extract_shard, jobs, keys, "audio", executor=executor)
    fresh_dir(out)
    for name, folder in zip(groups, folders, strict=True):
        shutil.copyfile(folder / "shard.arrow", out / Path(name).with_suffix(".arrow").name)
    first = next(iter(columns.Columns(out).values()))["features"]
    return {"clips": len(table), "rows": float(2 * table["frames"].sum()), "channels": first.shape[1]}


@one_line_errors("audio", CheckpointError, ValueError)
def main() -> None:
    from stages import tracking  # users' own files are heard without it

    settings = params.load()
    with tracking.stage_run("audio", settings, ["audio"]) as stage:
        counts = run(CLIPS, OUT, settings.audio, settings.executor)
        stage.summary(counts)


if __name__ == "__main__":
    main()
