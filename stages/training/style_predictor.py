"""Train the style predictor: a style code from a voice and a portrait (DreamTalk, section III-C, equations 4 and 10).

The target is the code that the trained denoiser's style encoder gives for the clip. The portrait comes from another
video of the same speaker, since identity coefficients leak expression (cross-identity training).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Generator, Tensor

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.diffusion import published_noise, q_sample
from dreamtalk_models.style_predictor import StylePredictor, sample_style
from stages import params as parameters
from stages.training import data, figures, loop
from stages.training.session import AUDIO, MOTION, SPLIT, WEIGHTS, read_split, session

DENOISER = Path("models/denoiser/full")
VARIANTS = ("full", "no_speaker_info", "no_cross_id", "regression")
SAMPLING_STEPS = 10  # when judging; generate.style_steps is for others, and must not make one train again
DRAWS = 16
VALIDATION_TIMES = 4  # diffusion times each code is noised to


@dataclass(frozen=True)
class Styled:
    """A corpus with each clip's style code (clips, d) and the identity (clips, I) of its portrait clip."""

    corpus: data.Corpus
    code: Tensor
    portrait: Tensor


@torch.no_grad()
def style_codes(denoiser: Denoiser, corpus: data.Corpus, at_once: int = 64) -> Tensor:
    """(clips, d): what the style encoder makes of the first style_frames frames of each clip."""
    codes = []
    longest = denoiser.style_frames
    for clips in torch.arange(len(corpus)).split(at_once):
        motion, mask = corpus.motion(clips, torch.zeros_like(clips), corpus.frames[clips].clamp(max=longest), longest)
        codes.append(denoiser.encode_style(motion.to(loop.device()), mask.to(loop.device())).cpu())
    return torch.cat(codes)


def styled(denoiser: Denoiser, corpus: data.Corpus, identities: pd.Series) -> Styled:
    """Add targets and portraits.

    Args:
        identities: by clip_id, (I,) arrays of all clips.
    """
    portrait = torch.stack([torch.as_tensor(identities[name]) for name in corpus.table["portrait_clip_id"]])
    return Styled(corpus, style_codes(denoiser, corpus), portrait)


def draw(train: Styled, variant: str, p: parameters.StylePredictor, count: int, generator: Generator) -> loop.Batch:
    """All the chance of `count` examples, to be filled by :func:`fill`: clip (B,), start and frames (B,) of its sound,
    portrait (B,), the clip that gives the identity, t (B,) diffusion times, uniform over 1..T, and noise (B, d)."""
    corpus = train.corpus
    clips = corpus.clips(count, generator)
    starts, lengths = corpus.segments(clips, p.audio_frames_min, p.audio_frames, generator)
    others = corpus.other_of_speaker(clips, generator)
    return {
        "clip": clips,
        "start": starts,
        "frames": lengths,
        "portrait": clips if variant == "no_cross_id" else others,
        "t": torch.randint(1, p.diffusion_steps + 1, (count,), generator=generator),
        "noise": torch.randn(count, train.code.shape[1], generator=generator),
    }


def fill(train: Styled, p: parameters.StylePredictor, drawn: loop.Batch) -> loop.Batch:
    """What :func:`draw` points at: audio (B, 2N, C) with audio_mask, identity (B, I), code (B, d); t and noise."""
    corpus, clips = train.corpus, drawn["clip"]
    audio, mask = corpus.speech(clips, drawn["start"], drawn["frames"], p.audio_frames)
    return {
        "audio": audio,
        "audio_mask": mask,
        "identity": corpus.identity[drawn["portrait"]],
        "code": train.code[clips],
        "t": drawn["t"],
        "noise": drawn["noise"],
    }


def whole_clips(part: Styled, p: parameters.StylePredictor) -> loop.Batch:
    """All clips as they are met later: their first audio_frames of sound, their portrait clip's identity."""
    clips = torch.arange(len(part.corpus))
    lengths = part.corpus.frames.clamp(max=p.audio_frames)
    audio, mask = part.corpus.speech(clips, torch.zeros_like(clips), lengths, p.audio_frames)
    return {"audio": audio, "audio_mask": mask, "identity": part.portrait, "code": part.code}


def error(predictor: StylePredictor, batch: loop.Batch) -> Tensor:
    """Equation 10 in normalised codes, a mean over their elements."""
    code = predictor.normalise(batch["code"])
    if predictor.regression:
        return (predictor(None, None, batch["audio"], batch["audio_mask"], batch["identity"]) - code).square().mean()
    noised = q_sample(code, batch["t"], batch["noise"], predictor.schedule)
    return (
        (predictor(noised, batch["t"], batch["audio"], batch["audio_mask"], batch["identity"]) - code).square().mean()
    )


def task(train: Styled, val: Styled, variant: str, p: parameters.StylePredictor) -> loop.Task:
    def loss(predictor: StylePredictor, batch: loop.Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return error(predictor, batch), {}

    known = whole_clips(val, p)

    def validate(predictor: StylePredictor) -> dict[str, float]:
        generator = Generator().manual_seed(0)
        batch = known | {"noise": torch.randn(known["code"].shape, generator=generator)}
        batch = {name: tensor.to(loop.device()) for name, tensor in batch.items()}
        steps = predictor.schedule.steps
        times = torch.linspace(steps / VALIDATION_TIMES / 2, steps, VALIDATION_TIMES).round().long()
        errors = [error(predictor, batch | {"t": t.expand(len(batch["code"])).to(loop.device())}) for t in times]
        return {"loss": float(torch.stack(errors).mean())}

    return loop.Task(
        lambda generator: draw(train, variant, p, p.batch, generator),
        loss,
        validate,
        lambda drawn: fill(train, p, drawn),
    )


@torch.no_grad()
def code_distances(predictor: StylePredictor, part: Styled, p: parameters.StylePredictor) -> dict[str, float]:
    """Mean L2 distance of sampled codes from the extracted ones (SCD, in the encoder's unit), "predicted" from the
    portrait clip's face and "own_portrait" from the clip's own, whose identity may tell its expression; each once more
    for the mean of several draws, which has no spread of its own; and of two floors: the training set's mean code, and
    the codes predicted for other clips."""
    batch = {name: tensor.to(loop.device()) for name, tensor in whole_clips(part, p).items()}

    def draws_for(identity: Tensor) -> Tensor:
        generator = Generator().manual_seed(0)
        sound = batch["audio"], batch["audio_mask"]
        count = 1 if predictor.regression else DRAWS
        return torch.stack(
            [sample_style(predictor, *sound, identity, steps=SAMPLING_STEPS, generator=generator) for _ in range(count)]
        )

    draws, own = draws_for(batch["identity"]), draws_for(part.corpus.identity.to(loop.device()))
    sampled = draws[0]
    code = batch["code"]
    shuffled = sampled.roll(max(1, len(sampled) // 2), 0)
    mean = predictor.code_mean.expand_as(code)
    guesses = {
        "predicted": sampled,
        "predicted_mean": draws.mean(0),
        "own_portrait": own[0],
        "own_portrait_mean": own.mean(0),
        "mean_code": mean,
        "shuffled": shuffled,
    }
    return {f"code_distance/{name}": float((guess - code).norm(dim=1).mean()) for name, guess in guesses.items()}


def network(variant: str, train: Styled, p: parameters.StylePredictor) -> StylePredictor:
    """An untrained predictor that knows the codes' scale."""
    predictor = StylePredictor(
        style_dim=train.code.shape[1],
        audio_dim=train.corpus.audio.width,
        identity_dim=train.corpus.identity.shape[1],
        audio_tokens=p.audio_tokens,
        audio_stride=p.audio_stride,
        d_model=p.d_model,
        heads=p.heads,
        feedforward=p.feedforward,
        layers=p.layers,
        dropout=p.dropout,
        speaker_info=variant != "no_speaker_info",
        regression=variant == "regression",
        **published_noise(p.diffusion_steps),
    )
    predictor.fit_scale(train.code)
    return predictor


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.training.style_predictor", description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    variant = parser.parse_args().variant
    with session("train_style_predictor", "style_predictor", variant, (SPLIT, MOTION, AUDIO, DENOISER)) as s:
        p = s.params.style_predictor
        split = read_split(s.run)
        denoiser = checkpoints.load(DENOISER / WEIGHTS, Denoiser).to(loop.device())
        everyone = data.load(split, MOTION)
        identities = pd.Series(list(everyone.identity), index=everyone.table["clip_id"])
        parts = {
            name: styled(denoiser, data.load(split[split["split"] == name], MOTION, AUDIO), identities)
            for name in ("train", "val", "test")
        }
        torch.manual_seed(s.seed)
        predictor = network(variant, parts["train"], p)
        work = task(parts["train"], parts["val"], variant, p)
        predictor = s.train(predictor, work, steps=p.steps, learning_rate=p.learning_rate, ema=p.ema)
        s.save(predictor)
        for name in ("train", "val", "test"):
            distances = code_distances(predictor, parts[name], p)
            s.run.summary({f"{name}/{key}": value for key, value in distances.items()})
            bars = {key.split("/")[1]: value for key, value in distances.items()}
            s.run.figure(f"code_distance_{name}", figures.bars(bars, "L2 distance of codes", f"{name} clips"))


if __name__ == "__main__":
    main()
