"""params.yaml as typed, validated models: one class a section, the sections named as the stages.

A wrong file raises :class:`ParamsError`, whose text names each offending key, what stands there and what is allowed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

PARAMS_FILE = Path("params.yaml")

Count = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]


class ParamsError(ValueError):
    """params.yaml is missing, is not YAML, or holds a key or value that the pipeline does not know."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DemoCorpus(Section):
    speakers: Annotated[int, Field(ge=2)]
    clips_per_style: Count
    frequent_speakers: Natural
    frequent_clips_per_style: Count
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
                    "download.folder must not lie in folder: DVC watches it, and would never see it at rest"
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
            raise ValueError("max_seconds must not be less than min_seconds")
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


class TrainingLoop(Section):
    """What all trainings share."""

    warmup: Share
    weight_decay: NonNegative
    clip_norm: Positive
    validations: Count
    patience: Natural


class Training(Section):
    batch: Count
    steps: Count
    learning_rate: Positive


class Transformer(Section):
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
    style_frames: Count
    style_frames_min: Count

    @model_validator(mode="after")
    def _style_frames(self) -> StyleReference:
        if self.style_frames_min > self.style_frames:
            raise ValueError("style_frames_min must not be more than style_frames")
        return self


class LipExpert(Training, Transformer, StyleReference):
    clip_frames: Count
    embedding: Count
    windows_per_clip: Annotated[int, Field(ge=2)]
    strangers_per_clip: Count
    max_shift: Annotated[int, Field(ge=2)]
    easy_negatives: Share


class Denoiser(Training, Transformer, StyleReference):
    decoder: Literal["split", "single"]
    window: Count
    clip_frames: Count
    diffusion_steps: Count
    null_style: Share
    sync_weight: NonNegative
    ema: Annotated[float, Field(ge=0, lt=1)]


class StylePredictor(Training, Transformer):
    audio_tokens: Count
    audio_stride: Count
    audio_frames: Count
    audio_frames_min: Count
    diffusion_steps: Count
    ema: Annotated[float, Field(ge=0, lt=1)]


class StyleClassifier(Section):
    shrinkage: Positive


class SyncNet(Training):
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
    edit_channels: Count
    radius: Annotated[int, Field(ge=12)]
    clips: Count
    frames_per_clip: Annotated[int, Field(ge=2)]
    scales: Count
    warp_weight: NonNegative
    detail_weight: NonNegative
    batch: Count
    warp_steps: Natural
    joint_steps: Natural
    learning_rate: Positive
    ema: Annotated[float, Field(ge=0, lt=1)]


class Generate(Section):
    renderer: Literal["mesh_warp", "pirenderer"]
    method: Literal["ddim", "ddpm"]
    steps: Count
    guidance: NonNegative
    style_steps: Count
    max_clips: Count
    pirenderer_clips: Count


class Evaluate(Section):
    size: Annotated[int, Field(ge=64)]
    vshift: Count
    min_face_rate: Share
    bootstrap: Count
    syncnet_weights: str | None
    arcface_onnx: str | None


class Report(Section):
    guidance_scales: Annotated[list[NonNegative], Field(min_length=2)]
    intensity_clips: Count
    intensity_pictures: Count
    style_codes: Count
    neighbours: Count
    gallery_clips: Count
    gallery_px: Annotated[int, Field(ge=32, multiple_of=2)]
    gallery_seconds: Positive


class Params(Section):
    """All of params.yaml."""

    profile: str
    seed: Natural
    executor: Annotated[str, Field(pattern=r"^(processes|(tcp|tls|ucx)://\S+:\d+)$")]
    ingest: Ingest
    crop: Crop
    validate_: Annotated[Validate, Field(alias="validate")]
    split: Split
    face_model: FaceModelParams
    fit: Fit
    audio: Audio
    training: TrainingLoop
    lip_expert: LipExpert
    denoiser: Denoiser
    style_predictor: StylePredictor
    style_classifier: StyleClassifier
    syncnet: SyncNet
    renderer: Renderer
    generate: Generate
    evaluate: Evaluate
    report: Report

    @model_validator(mode="after")
    def _fit_together(self) -> Params:
        expert, denoiser = self.lip_expert, self.denoiser
        if expert.clip_frames > denoiser.clip_frames:
            raise ValueError("lip_expert.clip_frames must not exceed denoiser.clip_frames: the expert judges its clips")
        if denoiser.style_frames > expert.style_frames:
            raise ValueError("denoiser.style_frames must not exceed lip_expert.style_frames: both see one reference")
        return self


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: the file is missing, is not YAML, or has unknown keys or impossible values; each is named.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path} is missing: run from the root of the repository") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from error
    return parse(raw, name=str(path))


def parse(raw: object, name: str = "parameters") -> Params:
    """Check a mapping as read from YAML; see :func:`load`."""
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError("\n".join(_explain(name, e) for e in error.errors())) from error


def _explain(name: str, error: dict) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "(top level)"
    if error["type"] == "extra_forbidden":
        allowed = ", ".join(_allowed_keys(error["loc"][:-1]))
        return f"{name}: unknown key {key}; allowed here: {allowed}"
    if error["type"] == "missing":
        return f"{name}: {key} is missing"
    return f"{name}: {key} is {error['input']!r}: {error['msg'].removeprefix('Value error, ')}"


def _allowed_keys(loc: tuple[str | int, ...]) -> list[str]:
    model: type[BaseModel] = Params
    for part in loc:
        by_name = {field.alias or key: field for key, field in model.model_fields.items()}
        model = by_name[str(part)].annotation
    return [field.alias or key for key, field in model.model_fields.items()]
