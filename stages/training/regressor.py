"""Train the regressor: the denoiser's tuples, lip expert and sizes, without noise; what diffusion is compared with."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from dreamtalk_models.regressor import Regressor
from stages import params as parameters
from stages.training import data, distributed, loop
from stages.training.denoiser import (
    EXPERTS,
    VALIDATION_WINDOWS,
    WINDOWS_PER_CLIP,
    Guide,
    Lips,
    draw,
    fill,
    load_guide,
    on_device,
    report_mouths,
    sizes,
    sync_starts,
    tuples,
    watched_lips,
    weighted,
    without_style,
)
from stages.training.session import AUDIO, FACE_MODEL, MOTION, SPLIT, face_model, read_split, session

LIP_EXPERT = "style_aware"


def losses(regressor: Regressor, guide: Guide, batch: loop.Batch, lips: Lips | None = None) -> dict[str, Tensor]:
    """ "motion" (squared error, mean over frames and coefficients), "sync" (equation 8) and, with lips, "closure"."""
    motion, valid = batch["motion"], batch["valid"]
    predicted = regressor(batch["audio"], *without_style(batch))
    error = (predicted - motion).square().mean(2)
    found = {
        "motion": distributed.masked_mean(error, valid),
        "sync": guide.sync_loss(predicted, batch, sync_starts(batch, guide)),
    }
    if lips is not None:
        found["closure"] = lips.loss(predicted, motion, valid)
    return found


def task(
    train: data.Corpus, val: data.Corpus, guide: Guide, p: parameters.Denoiser, lips: Lips | None = None
) -> loop.Task:
    def loss(regressor: Regressor, batch: loop.Batch) -> tuple[Tensor, dict[str, Tensor]]:
        found = losses(regressor, guide, batch, lips)
        return weighted(found, p), found

    @torch.no_grad()
    def validate(regressor: Regressor) -> dict[str, float]:
        count = min(VALIDATION_WINDOWS, WINDOWS_PER_CLIP * len(val))
        total, found = loss(regressor, on_device(tuples(val, p, count, Generator().manual_seed(0))))
        return {"loss": float(total), **{name: float(value) for name, value in found.items()}}

    return loop.Task(
        lambda generator: draw(train, p, p.batch, generator), loss, validate, lambda drawn: fill(train, p, drawn)
    )


def main() -> None:
    inputs = (SPLIT, MOTION, AUDIO, FACE_MODEL, EXPERTS / LIP_EXPERT)
    with session("train_regressor", "denoiser", None, inputs, folder="regressor") as s:
        p = s.params.denoiser  # sizes, steps and λ are the denoiser's, so that diffusion alone is compared
        split = read_split(s.run)
        corpora = {name: data.load(split[split["split"] == name], MOTION, AUDIO) for name in ("train", "val", "test")}
        face = face_model()
        guide = load_guide(LIP_EXPERT, EXPERTS, face)
        torch.manual_seed(s.seed)
        regressor = Regressor(**sizes(face, corpora["train"], p))
        work = task(corpora["train"], corpora["val"], guide, p, watched_lips(face, p))
        regressor = s.train(regressor, work, steps=p.steps, learning_rate=p.learning_rate, ema=p.ema)
        s.save(regressor)
        report_mouths(s, regressor, corpora, face)


if __name__ == "__main__":
    main()
