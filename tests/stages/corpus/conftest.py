"""Fixtures of the corpus tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from stages.corpus.encode import write_mp4
from stages.corpus.takes import TakeFinder
from stages.params import Crop, SyncFilter, Validate
from tests.stages.corpus.tiny_videos import RATE, hum, nod


@pytest.fixture(scope="session")
def crop() -> Crop:
    return Crop(
        size=128, fps=25, audio_rate=RATE, margin=0.25, smoothing_s=0.0, reject_padding=False, min_window=0,
        min_source_fps=0.0, min_overlap=0.0, min_face=40, min_seconds=0.4, max_seconds=4.0, min_detection_rate=0.9,
        shot_threshold=27.0, sync=SyncFilter(weights=None, min_confidence=3.0, max_offset=6, vshift=15), shard_clips=16,
    )  # fmt: skip


@pytest.fixture(scope="session")
def contracts() -> Validate:
    return Validate(min_clips=2, min_clips_per_style=1, max_quarantined=0.5, max_av_gap_s=0.08, sampled_media=2)


@pytest.fixture(scope="session")
def finder(crop: Crop):
    with TakeFinder(crop) as finder:
        yield finder


@pytest.fixture(scope="session")
def face() -> np.ndarray:
    """A real face, about 110 px in 224 x 224."""
    return np.ascontiguousarray(astronaut()[0:224, 112:336])


@pytest.fixture
def film(tmp_path: Path, face: np.ndarray) -> Callable[..., Path]:
    """Write a video into tmp_path/videos: of the face nodding, or of given frames; with sound unless told otherwise."""

    def make(
        name: str, frames: Iterable[np.ndarray] | None = None, seconds: float = 0.8, fps: int = 25, sound: bool = True
    ) -> Path:
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        frames = nod(face, round(seconds * fps)) if frames is None else list(frames)
        write_mp4(path, frames, fps, hum(len(frames) / fps) if sound else None, RATE)
        return path

    return make
