"""Train the denoising network (DreamTalk, section III-C, equations 6 to 9).

A training tuple is a window of motion with the sound around each of its frames, one diffusion time, and a style
reference from the same clip. The lip expert sees random clips of l frames of the predicted motion.

Where little training leaves it open whether lips meet, equation 7 is best served by lips that nearly do, which is never
seen. :class:`Lips` is an optional term of our own that asks whether they meet.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from dreamtalk_models import checkpoints
from dreamtalk_models.closures import MOUTH, Closure
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.diffusion import published_noise, q_sample
from dreamtalk_models.face_model import FaceModel, lower_face
from dreamtalk_models.lip_expert import LipExpert
from dreamtalk_models.motion_network import MotionNetwork
from stages import params as parameters
from stages.training import data, distributed, figures, loop
from stages.training.session import AUDIO, FACE_MODEL, MOTION, SPLIT, WEIGHTS, Session, face_model, read_split, session

EXPERTS = Path("models/lip_expert")
LIP_EXPERTS = ("none", "style_aware", "unconditional")
VALIDATION_WINDOWS = 64
VALIDATION_TIMES = 4  # diffusion times each window is noised to
SAMPLED_WINDOWS = 64
WINDOWS_PER_CLIP = 4  # of either, at most; more of the same few clips tell nothing new


@dataclass(frozen=True)
class Guide:
    """A frozen lip expert and the face model that shows it the predicted lips."""

    expert: LipExpert
    face: FaceModel

    def sync_loss(self, motion: Tensor, batch: loop.Batch, starts: Tensor) -> Tensor:
        """Equation 8 on l frames of each window from `starts` (B,); windows without style are left out, for the
        style-aware expert has never judged those.

        Args:
            motion: (B, L, D) predicted.
            batch: as of :func:`tuples`, with "audio" (B, 2L + 2w - 1, C).
        """
        length = self.expert.clip_frames
        frames = starts[:, None] + torch.arange(length, device=motion.device)
        before = (batch["audio"].shape[1] - 2 * motion.shape[1] + 1) // 2  # w: rows before the first frame's own
        rows = before + 2 * starts[:, None] + torch.arange(2 * length, device=motion.device)
        styled = ~batch["null"]
        share = styled.sum() / distributed.per_process(styled.sum())
        if not styled.any():
            return motion.new_zeros(())
        index = torch.arange(len(motion), device=motion.device)[:, None]
        lips = self.face.mouth_vertices(motion[index, frames][styled])
        sound = batch["audio"][index, rows][styled]
        loss = self.expert.sync_loss(lips, sound, batch["reference"][styled], batch["reference_mask"][styled])
        return share * loss


@dataclass(frozen=True)
class Lips:
    """What is seen of lips that meet.

    Attributes:
        closure: of the mean person's mouth.
        gap: opening of the lips, in model units, at which they look closed by 1 / e.
    """

    closure: Closure
    gap: float

    def closed(self, expression: Tensor) -> Tensor:
        """How closed the lips look, (..., k) in (0, 1], under expressions (..., D): exp(-opening / gap)."""
        return (-self.closure.gap(expression).clamp(min=0) / self.gap).exp()

    def loss(self, predicted: Tensor, motion: Tensor, valid: Tensor) -> Tensor:
        """Mean squared error of :meth:`closed` over valid frames (B, L) of motions (B, L, D)."""
        error = (self.closed(predicted) - self.closed(motion)).square().mean(2)
        return distributed.masked_mean(error, valid)


def watched_lips(face: FaceModel, p: parameters.Denoiser) -> Lips | None:
    """None where they do not count."""
    if not p.closure_weight:
        return None
    return Lips(Closure(face, face.mean.new_zeros(face.identity_dim), MOUTH), p.closure_gap)


def load_guide(variant: str, folder: Path, face: FaceModel) -> Guide | None:
    """The trained expert of models/lip_expert/, frozen; None for "none"."""
    if variant == "none":
        return None
    expert = checkpoints.load(folder / variant / WEIGHTS, LipExpert).to(loop.device())
    return Guide(expert.requires_grad_(False).eval(), face)


def draw(corpus: data.Corpus, p: parameters.Denoiser, count: int, generator: Generator) -> loop.Batch:
    """All the chance of `count` training tuples, to be filled by :func:`fill`.

    Returns:
        clip (B,); start (B,) of the motion; reference_start and reference_frames (B,); null (B,), True = to be trained
        without style; t (B,) diffusion times, uniform over 1..T, and noise (B, L, D); place (B,) in [0, 1), where the
        lip expert looks.
    """
    clips = corpus.clips(count, generator)
    starts = corpus.starts(clips, p.clip_frames, generator)
    reference_starts, lengths = corpus.segments(clips, p.style_frames_min, p.style_frames, generator)
    return {
        "clip": clips,
        "start": starts,
        "reference_start": reference_starts,
        "reference_frames": lengths,
        "null": torch.rand(count, generator=generator) < p.null_style,
        "t": torch.randint(1, p.diffusion_steps + 1, (count,), generator=generator),
        "noise": torch.randn(count, p.clip_frames, corpus.expression.width, generator=generator),
        "place": torch.rand(count, generator=generator),
    }


def fill(corpus: data.Corpus, p: parameters.Denoiser, drawn: loop.Batch) -> loop.Batch:
    """What :func:`draw` points at.

    Returns:
        motion (B, L, D) and its valid frames (B, L); audio (B, 2L + 2w - 1, C), the rows around all frames;
        reference (B, S, D) with reference_mask (B, S); null, t, noise and place as drawn.
    """
    clips, starts = drawn["clip"], drawn["start"]
    reference, mask = corpus.motion(clips, drawn["reference_start"], drawn["reference_frames"], p.style_frames)
    return {
        "motion": corpus.expression.gather(clips, starts, p.clip_frames),
        "valid": corpus.inside(clips, starts, p.clip_frames),
        "audio": corpus.sound_around(clips, starts, p.clip_frames, p.window),
        "reference": reference,
        "reference_mask": mask,
        **{name: drawn[name] for name in ("null", "t", "noise", "place")},
    }


def tuples(corpus: data.Corpus, p: parameters.Denoiser, count: int, generator: Generator) -> loop.Batch:
    """Random training tuples, as :func:`fill` gives them."""
    return fill(corpus, p, draw(corpus, p, count, generator))


def losses(
    denoiser: Denoiser, guide: Guide | None, batch: loop.Batch, t: Tensor | None = None, lips: Lips | None = None
) -> dict[str, Tensor]:
    """ "denoise" (equation 7: mean over frames and coefficients) and, with a guide, "sync" (equation 8); with lips,
    "closure".

    Args:
        t: (B,) diffusion times in place of the batch's own.
    """
    motion, valid = batch["motion"], batch["valid"]
    t = batch["t"] if t is None else t.to(motion.device)
    noised = q_sample(motion, t, batch["noise"], denoiser.schedule)
    predicted = denoiser(noised, t, batch["audio"], *without_style(batch))
    error = (predicted - motion).square().mean(2)
    found = {"denoise": distributed.masked_mean(error, valid)}
    if guide is not None:
        found["sync"] = guide.sync_loss(predicted, batch, sync_starts(batch, guide))
    if lips is not None:
        found["closure"] = lips.loss(predicted, motion, valid)
    return found


def without_style(batch: loop.Batch) -> tuple[Tensor, Tensor]:
    """Style references (B, S, D) and their masks (B, S), where `null` says so those of no style: zero motion with
    nothing masked."""
    style = batch["reference"].masked_fill(batch["null"][:, None, None], 0)
    return style, batch["reference_mask"] & ~batch["null"][:, None]


def sync_starts(batch: loop.Batch, guide: Guide) -> Tensor:
    """The first frames (B,) of what the lip expert sees, at the batch's `place` in each window."""
    last = (batch["valid"].sum(1) - guide.expert.clip_frames).clamp(min=0)
    return (batch["place"] * (last + 1)).long()


def weighted(found: dict[str, Tensor], p: parameters.Denoiser) -> Tensor:
    """Equation 6, and `closure_weight` times what the lips say."""
    weights = {"sync": p.sync_weight, "closure": p.closure_weight}
    return sum(weights.get(name, 1.0) * value for name, value in found.items())


def task(
    train: data.Corpus, val: data.Corpus, guide: Guide | None, p: parameters.Denoiser, lips: Lips | None = None
) -> loop.Task:
    """The task of :func:`stages.training.loop.train`."""

    def loss(denoiser: Denoiser, batch: loop.Batch) -> tuple[Tensor, dict[str, Tensor]]:
        found = losses(denoiser, guide, batch, lips=lips)
        return weighted(found, p), found

    @torch.no_grad()
    def validate(denoiser: Denoiser) -> dict[str, float]:
        count = min(VALIDATION_WINDOWS, WINDOWS_PER_CLIP * len(val))
        batch = on_device(tuples(val, p, count, Generator().manual_seed(0)))
        steps = denoiser.schedule.steps
        times = torch.linspace(steps / VALIDATION_TIMES / 2, steps, VALIDATION_TIMES).round().long()
        rounds = [losses(denoiser, guide, batch, t.expand(count), lips) for t in times]
        mean = {name: torch.stack([found[name] for found in rounds]).mean() for name in rounds[0]}
        return {"loss": float(weighted(mean, p)), **{name: float(value) for name, value in mean.items()}}

    return loop.Task(
        lambda generator: draw(train, p, p.batch, generator), loss, validate, lambda drawn: fill(train, p, drawn)
    )


def on_device(batch: loop.Batch) -> loop.Batch:
    return {name: tensor.to(loop.device()) for name, tensor in batch.items()}


@torch.no_grad()
def mouth_errors(
    network: MotionNetwork, corpus: data.Corpus, mean_expression: Tensor, face: FaceModel, p: parameters.Denoiser
) -> dict[str, float]:
    """Mean distance of sampled mouth vertices from the true ones, in model units, and of two floors.

    "sampled" is generated with the clip's sound and a reference from the same clip; "other_audio" the same with another
    clip's sound; "mean_motion" the training set's mean expression. "style_only" is that reference's own mean.
    "variation" is the sampled mouth's standard deviation in time over the true one's: 1 is as lively.
    """
    generator = Generator().manual_seed(0)
    clips = torch.arange(min(SAMPLED_WINDOWS, WINDOWS_PER_CLIP * len(corpus))) % len(corpus)
    starts = corpus.starts(clips, p.clip_frames, generator)
    reference, mask = corpus.style(clips, p.style_frames_min, p.style_frames, generator)
    strangers = corpus.other(clips, generator)
    elsewhere = corpus.starts(strangers, p.clip_frames, generator)
    codes = network.encode_style(reference.to(loop.device()), mask.to(loop.device()))

    def sampled(sound_clips: Tensor, sound_starts: Tensor) -> Tensor:
        audio = corpus.sound_around(sound_clips, sound_starts, p.clip_frames, p.window).to(loop.device())
        return network.generate(audio, codes, guidance=1.0, generator=Generator().manual_seed(0))

    own, other = sampled(clips, starts), sampled(strangers, elsewhere)
    valid = corpus.inside(clips, starts, p.clip_frames).to(own.device)
    true = face.mouth_vertices(corpus.expression.gather(clips, starts, p.clip_frames).to(own.device))

    def error(expression: Tensor) -> float:
        offset = (face.mouth_vertices(expression.to(own.device)) - true).unflatten(-1, (-1, 3))
        distance = offset.norm(dim=-1).mean(-1)
        return float((distance * valid).sum() / valid.sum())

    usual = reference.sum(1) / (~mask).sum(1, keepdim=True)
    liveliness = face.mouth_vertices(own).std(1).mean() / true.std(1).mean()
    return {
        "mouth_error/sampled": error(own),
        "mouth_error/other_audio": error(other),
        "mouth_error/mean_motion": error(mean_expression.expand_as(own)),
        "mouth_error/style_only": error(usual[:, None].expand_as(own)),
        "mouth_variation": float(liveliness),
    }


def report_mouths(s: Session, network: MotionNetwork, corpora: Mapping[str, data.Corpus], face: FaceModel) -> None:
    """Tell the run :func:`mouth_errors` of validation and test speakers, as numbers and bars."""
    mean = corpora["train"].expression.mean()
    for name in ("val", "test"):
        errors = mouth_errors(network, corpora[name], mean, face, s.params.denoiser)
        s.run.summary({f"{name}/{key}": value for key, value in errors.items()})
        bars = {key.split("/")[1]: value for key, value in errors.items() if "/" in key}
        s.run.figure(f"mouth_error_{name}", figures.bars(bars, "mouth error, model units", f"{name} speakers"))


def sizes(face: FaceModel, corpus: data.Corpus, p: parameters.Denoiser) -> dict[str, Any]:
    """The arguments of :class:`~dreamtalk_models.motion_network.MotionNetwork` for this corpus."""
    return {
        "motion_dim": corpus.expression.width,
        "audio_dim": corpus.audio.width,
        "window": p.window,
        "style_frames": p.style_frames,
        "d_model": p.d_model,
        "heads": p.heads,
        "feedforward": p.feedforward,
        "layers": p.layers,
        "dropout": p.dropout,
        "decoder": p.decoder,
        "lower": lower_face(face),
    }


def network(face: FaceModel, corpus: data.Corpus, p: parameters.Denoiser) -> Denoiser:
    """An untrained denoiser for this corpus."""
    return Denoiser(**sizes(face, corpus, p), **published_noise(p.diffusion_steps))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.training.denoiser", description=__doc__)
    parser.add_argument("variant", help="name of the result below models/denoiser/")
    parser.add_argument("--lip-expert", choices=LIP_EXPERTS, required=True)
    arguments = parser.parse_args()
    expert = EXPERTS / arguments.lip_expert  # of "none" there is no file, so a killed training does not change experts
    with session("train_denoiser", "denoiser", arguments.variant, (SPLIT, MOTION, AUDIO, FACE_MODEL, expert)) as s:
        p = s.params.denoiser
        split = read_split(s.run)
        corpora = {name: data.load(split[split["split"] == name], MOTION, AUDIO) for name in ("train", "val", "test")}
        face = face_model()
        guide = load_guide(arguments.lip_expert, EXPERTS, face)
        torch.manual_seed(s.seed)
        denoiser = network(face, corpora["train"], p)
        work = task(corpora["train"], corpora["val"], guide, p, watched_lips(face, p))
        denoiser = s.train(denoiser, work, steps=p.steps, learning_rate=p.learning_rate, ema=p.ema)
        s.save(denoiser)
        report_mouths(s, denoiser, corpora, face)


if __name__ == "__main__":
    main()
