"""params.yaml as typed, validated models: one class a section, the sections named as the stages.

A wrong file raises :class:`ParamsError`, whose text names each offending key, what stands there and what is allowed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from stages.params.corpus import Crop, DownloadSettings, Ingest, Ravdess, Split, SyncFilter, Validate
from stages.params.evaluation import Blink, Evaluate, Generate, Mild, Pause, Report, TalkingHead
from stages.params.features import Audio, FaceModelParams, Fit
from stages.params.section import Natural, Section
from stages.params.training import (
    Denoiser,
    IdentityJudge,
    LipExpert,
    Renderer,
    StyleClassifier,
    StylePredictor,
    SyncNet,
    TrainingLoop,
)

PARAMS_FILE = Path("params.yaml")
EXECUTOR = "DREAMTALK_EXECUTOR"

__all__ = [
    "Audio",
    "Blink",
    "Crop",
    "Denoiser",
    "DownloadSettings",
    "Evaluate",
    "EXECUTOR",
    "FaceModelParams",
    "Fit",
    "Generate",
    "IdentityJudge",
    "Ingest",
    "LipExpert",
    "load",
    "Mild",
    "Params",
    "PARAMS_FILE",
    "ParamsError",
    "parse",
    "Pause",
    "Ravdess",
    "Renderer",
    "Report",
    "Split",
    "StyleClassifier",
    "StylePredictor",
    "SyncFilter",
    "SyncNet",
    "TalkingHead",
    "TrainingLoop",
    "Validate",
]


class ParamsError(ValueError):
    """params.yaml is missing, is not YAML, or holds a key or value that the pipeline does not know; or the environment
    holds such a value."""


class Params(Section):
    """All of params.yaml."""

    profile: str
    seed: Natural
    training_seed: Natural
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
    identity_judge: IdentityJudge
    syncnet: SyncNet
    renderer: Renderer
    generate: Generate
    talking_head: TalkingHead
    evaluate: Evaluate
    report: Report

    @model_validator(mode="after")
    def _fit_together(self) -> Params:
        expert, denoiser = self.lip_expert, self.denoiser
        if expert.clip_frames > denoiser.clip_frames:
            raise ValueError(
                f"lip_expert.clip_frames ({expert.clip_frames}) must not exceed denoiser.clip_frames "
                f"({denoiser.clip_frames}): the expert judges its clips"
            )
        if denoiser.style_frames > expert.style_frames:
            raise ValueError(
                f"denoiser.style_frames ({denoiser.style_frames}) must not exceed lip_expert.style_frames "
                f"({expert.style_frames}): both see one reference"
            )
        predictor, sampling = self.style_predictor, self.generate
        for key, steps, network, most in (
            ("steps", sampling.steps, "denoiser", denoiser.diffusion_steps),
            ("style_steps", sampling.style_steps, "style_predictor", predictor.diffusion_steps),
        ):
            if steps > most:
                raise ValueError(f"generate.{key} ({steps}) must not exceed {network}.diffusion_steps ({most})")
        return self


def load(path: Path = PARAMS_FILE) -> Params:
    """Read and check params.yaml; the environment's DREAMTALK_EXECUTOR takes the place of `executor`.

    Raises:
        ParamsError: the file is missing, is not YAML, or has unknown keys or impossible values; each is named.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ParamsError(f"{path} is missing: run from the root of the repository") from error
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from error
    if (executor := os.environ.get(EXECUTOR)) and isinstance(raw, dict):
        raw["executor"] = executor
    return parse(raw, name=str(path))


def parse(raw: object, name: str = "parameters") -> Params:
    """Check a mapping as read from YAML; see :func:`load`."""
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError("\n".join(_explain(name, e) for e in error.errors())) from error


def _explain(name: str, error: dict) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        allowed = ", ".join(_allowed_keys(error["loc"][:-1]))
        return f"{name}: unknown key {key}; allowed here: {allowed}"
    if error["type"] == "missing":
        return f"{name}: {key} is missing"
    reason = error["msg"].removeprefix("Value error, ")
    if isinstance(error["input"], dict):  # a whole section, whose reason names the keys
        return ": ".join(filter(None, (name, key, reason)))
    return f"{name}: {key or '(top level)'} is {error['input']!r}: {reason}"


def _allowed_keys(loc: tuple[str | int, ...]) -> list[str]:
    model: type[BaseModel] = Params
    for part in loc:
        by_name = {field.alias or key: field for key, field in model.model_fields.items()}
        model = by_name[str(part)].annotation
    return [field.alias or key for key, field in model.model_fields.items()]
