"""Sections generate, talking_head, evaluate and report."""

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
    watermark: bool


class Blink(Section):
    per_minute: Positive
    spread: Positive
    closing_s: Positive
    closed_s: NonNegative
    opening_s: Positive


class Pause(Section):
    below_db: Positive
    noise_db: Positive
    clear_db: Positive
    least_s: Positive
    lead_s: Positive
    calm_s: Positive


class Mild(Section):
    degrees: Annotated[list[NonNegative], Field(min_length=3, max_length=3)]
    shift: NonNegative
    corner_hz: Positive
    ease_s: Positive


class TalkingHead(Section):
    margin: NonNegative
    max_yaw: Annotated[float, Field(gt=0, le=90)]
    blend_s: Positive
    turn_s: NonNegative
    blink: Blink
    pause: Pause
    mild: Mild


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
