"""Sections generate, evaluate and report."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.params.section import Count, NonNegative, Positive, Section, Share


class Generate(Section):
    renderer: Literal["mesh_warp", "pirenderer"]
    background: Literal["still", "follow"]
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
    vgg16_weights: str | None


class Report(Section):
    guidance_scales: Annotated[list[NonNegative], Field(min_length=2)]
    intensity_clips: Count
    intensity_pictures: Count
    style_codes: Count
    neighbours: Count
    gallery_clips: Count
    gallery_px: Annotated[int, Field(ge=32, multiple_of=2)]
    gallery_seconds: Positive
