"""Section training, which all trainings share, and the sections of the networks."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from stages.params.section import Count, Natural, NonNegative, Positive, Section, Share

# judges sample in 10 steps; with T below 20 the last one would add more variance than there is
DiffusionSteps = Annotated[int, Field(ge=20)]


class TrainingLoop(Section):
    """What all trainings share."""

    warmup: Share
    weight_decay: NonNegative
    clip_norm: Positive
    validations: Count
    patience: Natural


class Schedule(Section):
    """How much a network learns from, and how fast."""

    batch: Count
    steps: Count
    learning_rate: Positive


class Transformer(Section):
    """The size of a network of attention layers."""

    d_model: Annotated[int, Field(gt=0, multiple_of=2)]
    heads: Count
    feedforward: Count
    layers: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _heads(self) -> Transformer:
        if self.d_model % self.heads:
            raise ValueError(f"d_model ({self.d_model}) must be a multiple of heads ({self.heads})")
        return self


class StyleReference(Section):
    """The motion that a style code is taken from, in frames."""

    style_frames: Count
    style_frames_min: Count

    @model_validator(mode="after")
    def _style_frames(self) -> StyleReference:
        if self.style_frames_min > self.style_frames:
            raise ValueError(
                f"style_frames_min ({self.style_frames_min}) must not be more than style_frames ({self.style_frames})"
            )
        return self


class LipExpert(Schedule, Transformer, StyleReference):
    clip_frames: Count
    embedding: Count
    windows_per_clip: Annotated[int, Field(ge=2)]
    strangers_per_clip: Count
    max_shift: Annotated[int, Field(ge=2)]
    easy_negatives: Share


class Denoiser(Schedule, Transformer, StyleReference):
    decoder: Literal["split", "single"]
    window: Count
    clip_frames: Count
    diffusion_steps: DiffusionSteps
    null_style: Share
    sync_weight: NonNegative
    closure_weight: NonNegative
    closure_gap: Positive
    ema: Annotated[float, Field(ge=0, lt=1)]


class StylePredictor(Schedule, Transformer):
    audio_tokens: Count
    audio_stride: Count
    audio_frames: Count
    audio_frames_min: Count
    diffusion_steps: DiffusionSteps
    ema: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _audio_frames(self) -> StylePredictor:
        if self.audio_frames_min > self.audio_frames:
            raise ValueError(
                f"audio_frames_min ({self.audio_frames_min}) must not be more than audio_frames ({self.audio_frames})"
            )
        return self


class StyleClassifier(Section):
    shrinkage: Positive


class IdentityJudge(Section):
    size: Count
    clips: Count
    faces_per_clip: Count
    components: Count
    shrinkage: Positive


class SyncNet(Schedule):
    width: Positive
    size: Count
    clips: Count
    windows_per_clip: Count
    temperature: Positive


class Renderer(Section):
    size: Annotated[int, Field(ge=64, multiple_of=32)]
    descriptor: Count
    max_channels: Count
    warp_channels: Count
    edit_channels: Annotated[int, Field(ge=8)]
    radius: Annotated[int, Field(ge=12)]
    clips: Count
    frames_per_clip: Annotated[int, Field(ge=2)]
    scales: Count
    warp_weight: NonNegative
    detail_weight: NonNegative
    batch: Annotated[int, Field(ge=2, multiple_of=2)]
    warp_steps: Natural
    joint_steps: Natural
    learning_rate: Positive
    init: str | None
    fine_tuning_rate: Positive
    vgg: str | None
    style_weight: NonNegative
    ema: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _channels(self) -> Renderer:
        for name in ("warp_channels", "edit_channels"):
            if self.max_channels < (first := getattr(self, name)):
                raise ValueError(
                    f"max_channels ({self.max_channels}) must not be less than {name} ({first}), the first layer's"
                )
        return self

    @model_validator(mode="after")
    def _scales(self) -> Renderer:
        most = int(math.log2(self.size))  # a picture of 1 px has no edges, whose mean is not a number
        if self.scales > most:
            raise ValueError(
                f"scales ({self.scales}) must be at most {most} for size ({self.size}), a smallest picture of 2 px"
            )
        return self
