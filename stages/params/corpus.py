"""Sections ingest, crop, validate and split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, model_validator

from stages.params.section import Count, Natural, NonNegative, Positive, Section, Share


class DemoCorpus(Section):
    speakers: Annotated[int, Field(ge=2)]
    levels: Annotated[list[Literal[1, 2, 3]], Field(min_length=1)]
    clips_per_style: Count
    frequent_speakers: Natural
    frequent_clips_per_style: Count
    foretold: Share
    seconds: Positive
    size: Annotated[int, Field(ge=128, multiple_of=2)]


class Mead(Section):
    view: Literal["front", "down", "top", "left_30", "left_60", "right_30", "right_60"]


Emotion = Literal["angry", "contempt", "disgusted", "fear", "happy", "neutral", "sad", "surprised"]
Level = Literal[1, 2, 3]


class RavdessEmotions(Section):
    """RAVDESS' emotions as MEAD's; null leaves one out."""

    neutral: Emotion | None
    calm: Emotion | None
    happy: Emotion | None
    sad: Emotion | None
    angry: Emotion | None
    fearful: Emotion | None
    disgust: Emotion | None
    surprised: Emotion | None


class RavdessLevels(Section):
    """RAVDESS' intensities as MEAD's levels; null leaves one out."""

    normal: Level | None
    strong: Level | None


class Ravdess(Section):
    emotions: RavdessEmotions
    levels: RavdessLevels
    song: bool


class Hdtf(Section):
    subsets: Annotated[list[Literal["RD", "WDA", "WRA"]], Field(min_length=1)]
    window: Literal["fixed", "zoom"]


class DownloadSettings(Section):
    enabled: bool
    folder: str
    max_height: Count
    max_mb: Positive
    max_minutes: Positive
    rate_limit: Positive | None
    pause_s: NonNegative
    cookies: str | None
    timeout_s: Positive
    attempts: Count
    backoff_s: NonNegative
    max_backoff_s: NonNegative
    stop_after: Count


class Ingest(Section):
    source: Literal["demo", "folder", "mead", "ravdess", "hdtf", "voxceleb2"]
    folder: str
    metadata: str | None
    max_pair_gap_s: NonNegative
    demo: DemoCorpus
    mead: Mead
    ravdess: Ravdess
    hdtf: Hdtf
    download: DownloadSettings

    @model_validator(mode="after")
    def _folders(self) -> Ingest:
        if self.source in ("hdtf", "voxceleb2"):
            watched, written = Path(self.folder).absolute(), Path(self.download.folder).absolute()
            if written == watched or watched in written.parents:
                raise ValueError(
                    f"download.folder ({self.download.folder}) must not lie in folder ({self.folder}): DVC watches "
                    "it, and would never see it at rest"
                )
        return self


class SyncFilter(Section):
    """Clips whose sound and picture do not belong together are kept out; off without weights."""

    weights: str | None
    min_confidence: NonNegative
    max_offset: Natural
    vshift: Count


class Crop(Section):
    size: Annotated[int, Field(ge=64, multiple_of=2)]
    fps: Literal[25]
    audio_rate: Literal[16000]
    margin: NonNegative
    smoothing_s: NonNegative
    reject_padding: bool
    min_window: Natural
    min_source_fps: NonNegative
    min_overlap: Share
    min_face: Count
    min_seconds: Positive
    max_seconds: Positive
    min_detection_rate: Share
    shot_threshold: Positive
    sync: SyncFilter
    shard_clips: Count

    @model_validator(mode="after")
    def _lengths(self) -> Crop:
        if self.max_seconds < self.min_seconds:
            raise ValueError(f"max_seconds ({self.max_seconds}) must not be less than min_seconds ({self.min_seconds})")
        return self


class Validate(Section):
    min_clips: Count
    min_clips_per_style: Count
    max_quarantined: Share
    max_av_gap_s: Positive
    sampled_media: Natural


def _count_or_names(value: object) -> int | list[str]:
    names = isinstance(value, list) and value and all(isinstance(name, str) for name in value)
    if names and len(set(value)) == len(value):
        return value
    if type(value) is int and value > 0:
        return value
    raise ValueError("must be a count above 0, or a list of different speakers' names (in quotes, if they are numbers)")


Speakers = Annotated[int | list[str], PlainValidator(_count_or_names)]


class Split(Section):
    protocol: Literal["speakers", "mead_sentences"]
    test_speakers: Speakers
    val_speakers: Speakers
    test_clips_per_style: Count
    mead_neutral_sentences: Count
    mead_other_sentences: Count
