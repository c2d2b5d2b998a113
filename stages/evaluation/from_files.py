"""A talking head from a user's own files: portrait, voice, and where style and pose come from.

One function, :func:`talking_head`, stands behind the command, the page and the flow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from dreamtalk_models.closures import EYES, MOUTH, Closure
from stages.evaluation import timeline
from stages.evaluation.blinks import blinking
from stages.evaluation.framing import Frame, View, drawn_view, view
from stages.evaluation.head_motion import mild
from stages.evaluation.inputs import InputError, check_input, check_output
from stages.evaluation.marks import check_free, provenance, write_head
from stages.evaluation.motion import Motion, Pose, follow, still, to_length
from stages.evaluation.pauses import at_rest, resting
from stages.evaluation.portrait import Portrait, fitted, read_picture
from stages.evaluation.rendering import draw, driving, warp
from stages.evaluation.talking_head import predicted_code, reference_code, speak
from stages.evaluation.voice import full_voice, read_voice
from stages.evaluation.workshop import Workshop
from stages.features.audio import extract, rows_around
from stages.files import atomic_path, sha256

if TYPE_CHECKING:
    from dreamtalk_models.denoiser import Denoiser
    from dreamtalk_models.face_model import FaceModel

Progress = Callable[[str, float], None]  # what is being done, and the share of all that is done
SMALL_FACE = 80  # px; narrower ones are mentioned
FILMING_FROM = 0.3  # the share of a talking head's time after which its first frame is made, about


@dataclass(frozen=True)
class Request:
    """What to make.

    Attributes:
        portrait, voice: files. out: *.mp4.
        style: "auto" (predicted from voice and face), or a video, a file of coefficients, a clip_id of the corpus or
            [SPEAKER/]EMOTION[/LEVEL] of one; over time as in :mod:`stages.evaluation.timeline`.
        intensity: of the style; 0 neutral, 1 as the reference, above 1 stronger; over time likewise.
        pose: "still", "mild" (made up), or a source as in `style` whose head movement the portrait takes over.
        steps: of sampling. seed: of its noise, of blinks and of mild movement. size: px, longest side at most.
        frame: "face" films the square round the face, "picture" the whole photograph.
        blinks: whether they are added. overwrite: also files that are no talking heads of ours.
    """

    portrait: Path
    voice: Path
    out: Path
    style: str = "auto"
    intensity: float | str = 1.0
    pose: str = "still"
    renderer: Literal["mesh_warp", "pirenderer"] = "mesh_warp"
    steps: int = 10
    seed: int = 0
    size: int = 512
    watermark: bool = True
    frame: Frame = "face"
    blinks: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class Result:
    """What was made: frames, seconds of the voice, size in px, and remarks for the user."""

    frames: int
    seconds: float
    width: int
    height: int
    remarks: list[str]


def talking_head(request: Request, workshop: Workshop, progress: Progress = lambda what, share: None) -> Result:
    """Make the video of a request: H.264 and AAC, 25 fps, as long as the voice.

    Args:
        progress: is told what is being done and the share of all that is done, 0 to 1.

    Raises:
        InputError: a file cannot be used, or a network is missing; one line that says what and where.
    """
    check_files(request)
    check_networks(request, workshop)
    settings, model = workshop.settings, workshop.face_model
    rate, fps = settings.crop.audio_rate, settings.crop.fps
    progress("listening", 0.0)
    samples = read_voice(request.voice, rate)
    frames = math.ceil(len(samples) * fps / rate)
    features = extract(samples, rate, settings.audio, frames)

    progress("looking at the portrait", 0.05)
    seen = look(request, workshop)
    portrait = fitted(seen.landmarks, model, settings.fit)
    check_pose(portrait, str(request.portrait), settings.talking_head.max_yaw)
    rest = resting(samples, frames, fps, settings.talking_head.pause)

    progress("speaking", 0.1)
    spoken = expression(request, workshop, features, portrait)
    alive = enlivened(request, workshop, spoken, portrait, rest)
    motion = Motion(alive, pose(request, workshop, portrait, frames))
    film = seen.film(rendered(request, workshop, seen, portrait, motion))
    film = _counted(film, frames, progress)
    sound, sound_rate = full_voice(request.voice, samples, rate)
    with atomic_path(request.out) as tmp:
        write_head(tmp, film, fps, sound, sound_rate, note=note(request), watermark=request.watermark)
    progress("done", 1.0)
    seconds = len(samples) / rate
    told = [*of_cues(request, workshop, seconds), *of_files(request, seen, rest)]
    return Result(frames, seconds, *seen.size, told)


def check_files(request: Request) -> None:
    """Before any work is done: are the files there, and may the output be written?

    Raises:
        InputError: says which is not.
    """
    check_input(request.portrait)
    check_input(request.voice)
    styles = timeline.cues(request.style, "style")
    timeline.numbers(str(request.intensity), "intensity")
    named = [Path(source) for source in (request.pose, *(cue.what for cue in styles))]
    check_output(request.out, (".mp4",), [request.portrait, request.voice, *named])
    if not request.overwrite:
        check_free(request.out)


def check_networks(request: Request, workshop: Workshop) -> None:
    """Before any work is done: are the networks there that it takes?

    Raises:
        InputError: names the command that trains the one that is not.
    """
    needed = ["face_model", "denoiser"]
    if any(cue.what == "auto" for cue in timeline.cues(request.style, "style")):
        needed.append("style_predictor")
    if request.renderer == "pirenderer":
        needed.append("pirenderer")
    for name in needed:
        getattr(workshop, name)


def look(request: Request, workshop: Workshop) -> View:
    """The portrait as the renderer wants it."""
    picture, settings, name = read_picture(request.portrait), workshop.settings, str(request.portrait)
    if request.renderer == "pirenderer":
        return drawn_view(picture, name, request.frame, request.size, settings.crop)
    return view(picture, name, request.frame, request.size, settings.talking_head.margin)


def check_pose(portrait: Portrait, name: str, max_yaw: float) -> None:
    """Raises:
    InputError: the face is seen from too far aside.
    """
    yaw = abs(math.degrees(portrait.angles[1]))
    if yaw > max_yaw:
        raise InputError(f"{name}: the face is turned aside by {yaw:.0f} degrees; give one of {max_yaw:.0f} at most")


def expression(request: Request, workshop: Workshop, features: np.ndarray, portrait: Portrait) -> np.ndarray:
    """What the face does, (n, D), for the features of a voice (2n, C): each style and intensity where it counts."""
    denoiser, settings = workshop.denoiser, workshop.settings
    check_fit(denoiser, workshop.face_model, features.shape[1], request.steps)
    styles = [(cue.start, cue.what) for cue in timeline.cues(request.style, "style")]
    intensities = timeline.numbers(str(request.intensity), "intensity")
    codes = {what: style_code(what, request, workshop, features, portrait) for _, what in styles}
    starts = sorted({start for start, _ in [*styles, *intensities]})
    rows, window = rows_around(features, denoiser.config["window"]), denoiser.tokens
    frames = len(features) // 2
    spoken = np.zeros((frames, denoiser.motion_dim), np.float32)
    shares = timeline.weights(starts, frames, settings.crop.fps, settings.talking_head.blend_s)
    for start, share in zip(starts, shares, strict=True):
        if not share.any():
            continue
        first, last = np.flatnonzero(share)[[0, -1]]
        part = speak(
            denoiser,
            rows[2 * first : 2 * last + window],
            codes[timeline.at(start, styles)],
            steps=request.steps,
            guidance=timeline.at(start, intensities),
            method=settings.generate.method,
            seed=request.seed,
        )
        spoken[first : last + 1] += share[first : last + 1, None].astype(np.float32) * part
    return spoken


def style_code(
    source: str, request: Request, workshop: Workshop, features: np.ndarray, portrait: Portrait
) -> np.ndarray:
    """Code (d,) of one style: predicted from voice and face, or of a reference."""
    if source != "auto":
        return reference_code(workshop.denoiser, workshop.style(source))
    steps = workshop.settings.generate.style_steps
    return predicted_code(workshop.style_predictor, features, portrait.identity, steps=steps, seed=request.seed)


def enlivened(
    request: Request, workshop: Workshop, spoken: np.ndarray, portrait: Portrait, rest: np.ndarray
) -> np.ndarray:
    """Expressions (n, D) with what a voice does not tell: a mouth that rests in pauses (n,), and blinks."""
    model, settings, fps = workshop.face_model, workshop.settings.talking_head, workshop.settings.crop.fps
    identity = torch.from_numpy(np.array(portrait.identity, np.float32))
    alive = at_rest(spoken, Closure(model, identity, MOUTH), rest, fps, settings.pause)
    if request.blinks:
        alive = blinking(alive, Closure(model, identity, EYES), fps, settings.blink, request.seed)
    return alive


def pose(request: Request, workshop: Workshop, portrait: Portrait, frames: int) -> Pose:
    """Where the head is: still, or moving from the portrait's pose, mildly or as another head does."""
    if request.pose == "still":
        return still(portrait.angles, portrait.translation, frames)
    settings, fps = workshop.settings.talking_head, workshop.settings.crop.fps
    if request.pose == "mild":
        track = mild(frames, fps, settings.mild, request.seed)
    else:
        track = to_length(workshop.pose(request.pose), frames, round(settings.turn_s * fps))
    return follow(portrait.angles, portrait.translation, track)


def rendered(
    request: Request, workshop: Workshop, seen: View, portrait: Portrait, motion: Motion
) -> Iterator[np.ndarray]:
    """Frames of the view's picture."""
    if request.renderer == "pirenderer":
        radius, size = workshop.settings.renderer.radius, workshop.settings.renderer.size
        return draw(workshop.pirenderer, seen.picture, driving(motion), radius, size)
    return warp(workshop.face_model, seen.picture, portrait, motion, workshop.settings.generate.background)


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


def note(request: Request) -> str:
    """The provenance of a request's video. Portrait and voice are known by their content; files have no names here,
    since names tell of people."""
    styles = [(f"{cue.start:g}", cue.what) for cue in timeline.cues(request.style, "style")]
    return provenance(
        portrait_sha256=sha256(request.portrait),
        voice_sha256=sha256(request.voice),
        style={start: what if what == "auto" else "reference" for start, what in styles},
        intensity=str(request.intensity),
        pose=request.pose if request.pose in ("still", "mild") else "reference",
        renderer=request.renderer,
        steps=request.steps,
        seed=request.seed,
        size=request.size,
        frame=request.frame,
        blinks=request.blinks,
    )


def of_cues(request: Request, workshop: Workshop, seconds: float) -> list[str]:
    """What the user should know of styles and intensities: which clip is meant by an emotion, and what comes too late
    to be seen."""
    styles = timeline.cues(request.style, "style")
    named = dict.fromkeys(cue.what for cue in styles if cue.what != "auto" and not Path(cue.what).exists())
    clips = {what: workshop.clip_id(what, "style") for what in named}
    found = [f"style {what} is that of clip {clip}" for what, clip in clips.items() if clip != what]
    for name, cues in (("style", styles), ("intensity", timeline.cues(str(request.intensity), "intensity"))):
        late = [f"{cue.start:g}" for cue in cues if cue.start >= seconds]
        if late:
            found.append(f"{name} at {', '.join(late)} s is never seen: the voice ends at {seconds:.2f} s")
    return found


def of_files(request: Request, seen: View, rest: np.ndarray) -> list[str]:
    """What the user should know of portrait and voice."""
    found = []
    if seen.faces > 1:
        found.append(f"{request.portrait} shows {seen.faces} faces: the largest one speaks")
    if seen.face_px < SMALL_FACE:
        found.append(f"{request.portrait}: the face is {seen.face_px:.0f} px wide only, so the video will be soft")
    if rest.min() > 0.9:
        found.append(f"{request.voice} is silent throughout: the mouth stays closed")
    return found


def _counted(film: Iterator[np.ndarray], frames: int, progress: Progress) -> Iterator[np.ndarray]:
    for i, frame in enumerate(film):
        progress("filming", FILMING_FROM + (1 - FILMING_FROM) * i / frames)
        yield frame
