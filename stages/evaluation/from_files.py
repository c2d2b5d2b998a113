"""A talking head from a user's own files: portrait, voice, and where style and pose come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from stages.corpus import decode
from stages.corpus.encode import write_mp4
from stages.evaluation.inputs import InputError, check_input, check_output
from stages.evaluation.motion import Motion, Pose, follow, still, to_length
from stages.evaluation.portrait import Portrait, find_face, fitted, read_picture, resized, square_round
from stages.evaluation.rendering import draw, driving, warp
from stages.evaluation.talking_head import predicted_code, reference_code, speak
from stages.evaluation.workshop import Workshop
from stages.features.audio import extract, rows_around
from stages.files import atomic_path

if TYPE_CHECKING:
    from dreamtalk_models.denoiser import Denoiser
    from dreamtalk_models.face_model import FaceModel

PROVENANCE = "Synthetic talking head: AI-generated picture motion, made with dreamtalk-open"
WATERMARK = "AI-generated"
SILENCE = 1e-3  # of full scale: a voice that is nowhere louder says nothing


@dataclass(frozen=True)
class Request:
    """What to make.

    Attributes:
        portrait, voice: files. out: *.mp4.
        style: "auto" (predicted from voice and face), or a video, a file of coefficients or a clip_id of the corpus.
        intensity: of the style; 0 neutral, 1 as the reference, above 1 stronger.
        pose: "still", or a video, a file of coefficients or a clip_id whose head movement the portrait takes over.
        steps: of sampling. seed: of its noise. size: px, longest side of the video at most.
    """

    portrait: Path
    voice: Path
    out: Path
    style: str = "auto"
    intensity: float = 1.0
    pose: str = "still"
    renderer: Literal["mesh_warp", "pirenderer"] = "mesh_warp"
    steps: int = 10
    seed: int = 0
    size: int = 512
    watermark: bool = True


@dataclass(frozen=True)
class Result:
    """What was made: frames, seconds of the voice, size in px, and remarks for the user."""

    frames: int
    seconds: float
    width: int
    height: int
    remarks: list[str]


def read_voice(path: Path, rate: int) -> np.ndarray:
    """The sound of any audio or video file: (samples,) float32 mono.

    Raises:
        InputError: it cannot be read, has no sound or no sample.
    """
    try:
        samples = decode.read_audio(path, rate)
    except decode.MediaError as error:
        raise InputError(f"{path} {error}; give a sound or video file with speech") from error
    if not len(samples):
        raise InputError(f"{path} has no sound in it: 0 samples")
    return samples


def talking_head(request: Request, workshop: Workshop) -> Result:
    """Make the video of a request: H.264 and AAC, 25 fps, as long as the voice.

    Raises:
        InputError: a file cannot be used, or a network is missing; one line that says what and where.
    """
    check_input(request.portrait)
    check_input(request.voice)
    check_output(request.out, (".mp4",))
    settings, model, remarks = workshop.settings, workshop.face_model, []
    rate = settings.crop.audio_rate
    samples = read_voice(request.voice, rate)
    frames = math.ceil(len(samples) * settings.crop.fps / rate)
    if np.abs(samples).max() < SILENCE:
        remarks.append(f"{request.voice} is silent: the lips have nothing to say")

    picture = resized(read_picture(request.portrait), request.size)
    landmarks, faces = find_face(picture, str(request.portrait))
    if faces > 1:
        remarks.append(f"{request.portrait} shows {faces} faces: the largest one speaks")
    if request.renderer == "pirenderer":
        picture = square_round(picture, landmarks, settings.crop.margin, settings.crop.size)
        landmarks, _ = find_face(picture, str(request.portrait))
    portrait = fitted(landmarks, model, settings.fit)

    features = extract(samples, rate, settings.audio, frames)
    motion = Motion(expression(request, workshop, features, portrait), pose(request, workshop, portrait, frames))
    if request.renderer == "pirenderer":
        radius, size = settings.renderer.radius, settings.renderer.size
        film = draw(workshop.pirenderer, picture, driving(motion), radius, size)
    else:
        film = warp(model, picture, portrait, motion, settings.generate.background)
    if request.watermark:
        film = watermarked(film)
    with atomic_path(request.out) as tmp:
        write_mp4(tmp, film, settings.crop.fps, samples, rate, comment=PROVENANCE)
    height, width = picture.shape[:2]
    return Result(frames, len(samples) / rate, width, height, remarks)


def expression(request: Request, workshop: Workshop, features: np.ndarray, portrait: Portrait) -> np.ndarray:
    """What the face does, (n, D), for the features of a voice (2n, C)."""
    denoiser, settings = workshop.denoiser, workshop.settings.generate
    check_fit(denoiser, workshop.face_model, features.shape[1], request.steps)
    if request.style == "auto":
        steps = settings.style_steps
        identity = portrait.identity
        code = predicted_code(workshop.style_predictor, features, identity, steps=steps, seed=request.seed)
    else:
        code = reference_code(denoiser, workshop.style(request.style))
    return speak(
        denoiser,
        rows_around(features, denoiser.config["window"]),
        code,
        steps=request.steps,
        guidance=request.intensity,
        method=settings.method,
        seed=request.seed,
    )


def pose(request: Request, workshop: Workshop, portrait: Portrait, frames: int) -> Pose:
    """Where the head is: still, or moving from the portrait's pose as another head does."""
    if request.pose == "still":
        return still(portrait.angles, portrait.translation, frames)
    return follow(portrait.angles, portrait.translation, to_length(workshop.pose(request.pose), frames))


def check_fit(denoiser: Denoiser, model: FaceModel, audio_dim: int, steps: int) -> None:
    """Do the networks belong to each other and to the parameters?

    Raises:
        InputError: says which do not.
    """
    trained = (denoiser.motion_dim, denoiser.config["audio_dim"])
    if trained != (model.expression_dim, audio_dim):
        raise InputError(
            f"models/denoiser/full was trained on {trained[0]} expression and {trained[1]} audio numbers, but "
            f"models/face_model and params.yaml now have {model.expression_dim} and {audio_dim}: run `dvc repro`"
        )
    if steps > denoiser.schedule.steps:
        raise InputError(
            f"--steps {steps} is more than the {denoiser.schedule.steps} that the denoiser was trained with"
        )


def watermarked(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames with a small text at the lower right that says what they are."""
    for frame in frames:
        frame = frame.copy()
        height, width = frame.shape[:2]
        scale = max(width / 800, 0.3)
        (across, _), below = cv2.getTextSize(WATERMARK, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        corner = (width - across - 6, height - below - 2)
        for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(frame, WATERMARK, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness, cv2.LINE_AA)
        yield frame
