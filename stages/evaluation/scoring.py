"""All picture and sound metrics of one video against its truth, from one decoding of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from dreamtalk_models import checkpoints
from dreamtalk_models.identity_judge import IdentityJudge
from dreamtalk_models.syncnet import SyncNet
from stages.corpus import decode
from stages.corpus.faces import LANDMARKS, FaceMesh
from stages.corpus.gaps import bridged
from stages.evaluation.metrics import landmark_distance as lmd
from stages.evaluation.metrics.identity import ArcFace, Fisherfaces, Recogniser, aligned_faces, csim
from stages.evaluation.metrics.lip_sync import lip_sync
from stages.evaluation.metrics.perceptual import Lpips, lpips
from stages.evaluation.metrics.sharpness import cpbd
from stages.evaluation.metrics.structural_similarity import ssim
from stages.features import sync_inputs

FPS = 25


@dataclass(frozen=True)
class Settings:
    """How to score: by default as published, with no judge. It travels to worker processes.

    Attributes:
        size: px, edge of the squares that everything is measured in.
        vshift: frames either side in the sync protocol.
        min_face_rate: share of frames with a face below which lips are not judged.
        corpus_syncnet, corpus_identity: weights of the judges trained on the corpus. syncnet: the published weights.
        arcface: ArcFace as ONNX. vgg16: torchvision's weights, for LPIPS. A judge that is None is not asked.
    """

    size: int = 256
    vshift: int = 15
    min_face_rate: float = 0.5
    corpus_syncnet: Path | None = None
    corpus_identity: Path | None = None
    syncnet: Path | None = None
    arcface: Path | None = None
    vgg16: Path | None = None

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The judges' weights, which the scores depend on."""
        return self.corpus_syncnet, self.corpus_identity, self.syncnet, self.arcface, self.vgg16


class Judges:
    """The networks that `settings` name, loaded.

    Raises:
        FileNotFoundError, ValueError: a file is missing or does not fit; the file is named.
    """

    def __init__(self, settings: Settings) -> None:
        torch.set_num_threads(1)  # clips are what runs in parallel
        self.settings = settings
        self.syncnets: dict[str, tuple[SyncNet, Callable]] = {}
        if settings.corpus_syncnet:
            net = checkpoints.load(settings.corpus_syncnet, SyncNet)
            self.syncnets["_corpus"] = (net, sync_inputs.mouth_crops)
        if settings.syncnet:
            self.syncnets[""] = (checkpoints.load_official("syncnet", settings.syncnet), sync_inputs.face_crops)
        self.recognisers: dict[str, Recogniser] = {}
        if settings.corpus_identity:
            self.recognisers["id_sim_corpus"] = Fisherfaces(checkpoints.load(settings.corpus_identity, IdentityJudge))
        if settings.arcface:
            self.recognisers["csim"] = ArcFace(settings.arcface)
        self.lpips = Lpips(settings.vgg16) if settings.vgg16 else None


@cache
def judges(settings: Settings) -> Judges:
    """The judges of `settings`, loaded once in a process."""
    return Judges(settings)


class Sound(NamedTuple):
    """(samples,) float32 in [-1, 1], and its rate in Hz."""

    samples: np.ndarray
    rate: int


@dataclass(frozen=True)
class Video:
    """A video's frames (n, S, S, 3) uint8 RGB at 25 frames/s, and where its face is."""

    frames: np.ndarray

    @cached_property
    def mesh(self) -> np.ndarray:
        """(n, 478, 3) px, NaN where no face was found; tracked from frame to frame."""
        missing = np.full((LANDMARKS, 3), np.nan, dtype=np.float32)
        with FaceMesh() as mesh:
            found = [mesh.landmarks(frame) for frame in self.frames]
        return np.array([missing if points is None else points for points in found]).reshape(-1, LANDMARKS, 3)

    @cached_property
    def points(self) -> np.ndarray:
        """(n, 68, 2) px, NaN where no face was found."""
        return lmd.landmarks68(self.mesh)


class Truth(NamedTuple):
    """What a video is compared with: frames (n, S, S, 3) and their 68 landmarks (n, 68, 2) px."""

    frames: np.ndarray
    points: np.ndarray


class Scores(NamedTuple):
    """Metrics by name, NaN where one could not be computed, and what stood in the way."""

    values: dict[str, float]
    notes: list[str]


def read_video(path: Path, size: int) -> tuple[Video, str | None]:
    """A file's video as :func:`squares` at 25 frames/s, as far as it can be read, and what stopped that, or None."""
    frames, obstacle = [], None
    try:
        frames.extend(_square(frame, size) for frame in decode.frames(path, FPS))
    except FileNotFoundError:
        obstacle = "the video is missing"
    except (decode.MediaError, OSError) as error:
        obstacle = f"the video {error}"
    return Video(squares(frames, size)), obstacle


def squares(frames: Iterable[np.ndarray], size: int) -> np.ndarray:
    """Frames of any size as (n, size, size, 3) uint8: shrunk with INTER_AREA, enlarged with INTER_CUBIC."""
    resized = [_square(frame, size) for frame in frames]
    return np.array(resized, dtype=np.uint8).reshape(-1, size, size, 3)


def score(video: Video, truth: Truth, sound: Sound | None, judges: Judges) -> Scores:
    """Every metric that the judges allow, over the frames that both videos have.

    Args:
        video: the one judged.
        truth: the real video, in the same size.
        sound: what is said; None: lips are not judged.
    """
    n = min(len(video.frames), len(truth.frames))
    notes = _differences(video, truth)
    values = {
        "frames": float(n),
        "face_rate": lmd.face_rate(video.points),
        "ssim": _mean(ssim(truth.frames[:n], video.frames[:n])),
        "cpbd": _mean(cpbd(video.frames)),
        "f_lmd": _mean(lmd.f_lmd(truth.points[:n], video.points[:n])),
        "m_lmd": _mean(lmd.m_lmd(truth.points[:n], video.points[:n])),
        "m_lmd_sum": _mean(lmd.m_lmd_sum(truth.points[:n], video.points[:n])),
        "mouth_opening_corr": lmd.mouth_opening_correlation(truth.points[:n], video.points[:n]),
    }
    if judges.lpips:
        values["lpips"] = _mean(lpips(judges.lpips, truth.frames[:n], video.frames[:n]))
    if judges.recognisers:
        values |= _identity(judges.recognisers, video, truth)
    if judges.syncnets and sound is not None:
        reason = _sync_obstacle(video, judges.settings)
        if reason:
            notes.append(f"lips not judged: {reason}")
        for suffix, (net, crop) in judges.syncnets.items() if not reason else ():
            values |= _sync(video, sound, net, crop, judges.settings.vshift, suffix)
    return Scores(values, notes)


def _square(frame: np.ndarray, size: int) -> np.ndarray:
    if frame.shape[:2] == (size, size):
        return frame
    shrink = min(frame.shape[:2]) >= size
    return cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)


def _differences(video: Video, truth: Truth) -> list[str]:
    own, real = len(video.frames), len(truth.frames)
    notes = []
    if own != real:
        notes.append(f"{own} frames, the truth has {real}: compared over the first {min(own, real)}")
    lost = int((~lmd.found(video.points)).sum())
    if lost:
        notes.append(f"no face in {lost} of {own} frames")
    lost = int((~lmd.found(truth.points)).sum())
    if lost:
        notes.append(f"no face in {lost} of {real} frames of the truth")
    return notes


def _sync_obstacle(video: Video, settings: Settings) -> str | None:
    if len(video.frames) < sync_inputs.WINDOW:
        return f"shorter than {sync_inputs.WINDOW} frames"
    rate = lmd.face_rate(video.mesh)
    if rate == 0 or rate < settings.min_face_rate:
        return f"a face in only {rate:.0%} of the frames"
    return None


def _sync(video: Video, sound: Sound, net: SyncNet, crop: Callable, vshift: int, suffix: str) -> dict[str, float]:
    crops = crop(video.frames, bridged(video.mesh), net.config["size"])
    heard = sync_inputs.mfcc(*sound, frames=len(crops))
    result = lip_sync(net, crops, heard, vshift)
    return {
        f"sync_conf{suffix}": result.confidence,
        f"sync_dist{suffix}": result.min_dist,
        f"sync_offset{suffix}": float(result.offset),
    }


def _identity(recognisers: dict[str, Recogniser], video: Video, truth: Truth) -> dict[str, float]:
    portrait = aligned_faces(truth.frames[:1], truth.points[:1])
    faces = aligned_faces(video.frames, video.points)
    if not len(portrait) or not len(faces):
        return dict.fromkeys(recognisers, float("nan"))
    return {name: csim(recogniser, portrait[0], faces) for name, recogniser in recognisers.items()}


def _mean(values: np.ndarray) -> float:
    """Mean of what could be computed."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
