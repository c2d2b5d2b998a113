"""Sections face_model, fit and audio."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.params.section import Count, NonNegative, Positive, Section


class FaceModelParams(Section):
    kind: Literal["mediapipe_pca", "bfm", "ict"]
    path: str
    identity_dim: Count
    expression_dim: Count
    frames_per_clip: Count
    detail_weight: Positive


class Fit(Section):
    identity_weight: NonNegative
    expression_weight: NonNegative
    smoothing: NonNegative
    pose_smoothing: NonNegative
    neck: NonNegative
    max_error: Positive


class Audio(Section):
    features: Literal["logmel", "wav2vec2", "hubert"]
    checkpoint: str
    mel_bands: Count
    chunk_seconds: Annotated[float, Field(ge=1)]
