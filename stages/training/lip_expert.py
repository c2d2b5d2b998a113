"""Train the lip expert: are these lips in sync with this sound? (DreamTalk, section III-B, equations 3 and 5.)

A pair is in sync, or its sound comes from 2 to max_shift frames earlier or later in the same clip (hard; one frame
off is too close to call), or from another clip (easy). Training takes several windows of each clip and learns from all
pairs among them at once: from single pairs the cross-entropy stays at chance for very long.
"""

from __future__ import annotations

import argparse
from typing import Literal

import numpy as np
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score
from torch import Generator, Tensor
from torch.nn import functional

from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.lip_expert import LipExpert, Tower
from stages import params as parameters
from stages.training import data, distributed, figures, loop
from stages.training.session import AUDIO, FACE_MODEL, MOTION, SPLIT, Session, face_model, read_split, session

VARIANTS = ("style_aware", "unconditional")
NEGATIVE_SHIFT = 2  # frames, the least that counts as out of sync
VALIDATION_PAIRS = 1024
TEST_PAIRS = 4096
PAIRS_PER_CLIP = 64  # at most; more windows of the same few clips tell nothing new
AT_ONCE = 64  # pairs judged at once; bounds memory, for each brings a style reference
CURVE_SHIFT = 15  # frames
CALIBRATION_BINS = 10

Negatives = Literal["mixed", "hard", "easy"]


def draw(corpus: data.Corpus, p: parameters.LipExpert, generator: Generator) -> loop.Batch:
    """All the chance of a training batch, to be filled by :func:`fill`: K windows of lips of each of B clips, and the
    sounds to tell apart.

    Returns:
        clip (B,); style_start and style_frames (B,); start (B, K) of the windows; stranger and elsewhere (B, E), other
        clips and where their sounds start.
    """
    inside, outside = p.windows_per_clip, p.strangers_per_clip
    clips = corpus.clips(max(1, p.batch // inside), generator)
    style_starts, lengths = corpus.segments(clips, p.style_frames_min, p.style_frames, generator)
    starts = corpus.starts(clips.repeat_interleave(inside), p.clip_frames, generator)
    others = corpus.other(clips.repeat_interleave(outside), generator)
    elsewhere = corpus.starts(others, p.clip_frames, generator)
    return {
        "clip": clips,
        "style_start": style_starts,
        "style_frames": lengths,
        "start": starts.unflatten(0, (-1, inside)),
        "stranger": others.unflatten(0, (-1, outside)),
        "elsewhere": elsewhere.unflatten(0, (-1, outside)),
    }


def fill(corpus: data.Corpus, p: parameters.LipExpert, drawn: loop.Batch) -> loop.Batch:
    """What :func:`draw` points at.

    Returns:
        expression (B, K, l, D); audio (B, K + E, 2l, C), first the sounds of the K windows, then E of other clips;
        start (B, K) frames; style (B, S, D) and style_mask (B, S).
    """
    clips, starts = drawn["clip"], drawn["start"]
    own = clips[:, None].expand_as(starts)
    style, style_mask = corpus.motion(clips, drawn["style_start"], drawn["style_frames"], p.style_frames)
    heard = torch.cat([own, drawn["stranger"]], 1), torch.cat([starts, drawn["elsewhere"]], 1)
    sound = corpus.sound(heard[0].flatten(), heard[1].flatten(), p.clip_frames)
    lips = corpus.expression.gather(own.flatten(), starts.flatten(), p.clip_frames)
    return {
        "expression": lips.unflatten(0, starts.shape),
        "audio": sound.unflatten(0, heard[0].shape),
        "start": starts,
        "style": style,
        "style_mask": style_mask,
    }


def logits(expert: LipExpert, face: FaceModel, batch: loop.Batch) -> Tensor:
    """(B, K, K + E) logit of sync of every window's lips with every sound of its clip's row."""
    code = expert.style_encoder(batch["style"], batch["style_mask"]) if expert.style_aware else None

    def embed(tower: Tower, sequences: Tensor) -> Tensor:
        count = sequences.shape[1]
        styles = None if code is None else code.repeat_interleave(count, 0)
        return functional.normalize(tower(sequences.flatten(0, 1), styles), dim=1).unflatten(0, (-1, count))

    lips = embed(expert.lip_tower, face.mouth_vertices(batch["expression"]))
    sounds = embed(expert.audio_tower, batch["audio"])
    return expert.scale * (lips @ sounds.mT) + expert.bias


def weights(start: Tensor, sounds: int, p: parameters.LipExpert) -> tuple[Tensor, Tensor]:
    """Truth and weight of every pair of :func:`logits`: half of the weight lies on pairs in sync, and of the other half
    `easy_negatives` on the sounds of other clips.

    Args:
        start: (B, K) first frames of the windows.
        sounds: K + E.

    Returns:
        in_sync and weight (B, K, K + E); the weights add up to 1, of several processes in the mean.
    """
    inside = start.shape[1]
    gap = (start[:, :, None] - start[:, None]).abs()
    hard = ((gap >= NEGATIVE_SHIFT) & (gap <= p.max_shift)).float()
    in_sync = functional.pad(torch.eye(inside, device=start.device), (0, sounds - inside)).expand(len(start), -1, -1)
    hard = functional.pad(hard, (0, sounds - inside))
    easy = torch.ones_like(hard)
    easy[:, :, :inside] = 0

    def share(pairs: Tensor) -> Tensor:
        return pairs / distributed.per_process(pairs.sum())

    negative = (1 - p.easy_negatives) * share(hard) + p.easy_negatives * share(easy)
    return in_sync, 0.5 * share(in_sync) + 0.5 * negative


def pairs(
    corpus: data.Corpus, p: parameters.LipExpert, count: int, generator: Generator, negatives: Negatives = "mixed"
) -> loop.Batch:
    """Lips and sounds to judge, every other pair in sync.

    Args:
        negatives: "hard", "easy", or "mixed" with the share p.easy_negatives of easy ones.

    Returns:
        expression (B, l, D), audio (B, 2l, C), style (B, S, D), style_mask (B, S), in_sync (B,) 1.0 or 0.0.
    """
    clips = corpus.clips(count, generator)
    starts = corpus.starts(clips, p.clip_frames, generator)
    in_sync = torch.arange(count) % 2 == 0
    share = {"mixed": p.easy_negatives, "hard": 0.0, "easy": 1.0}[negatives]
    easy = torch.rand(count, generator=generator) < share
    shifted, found = shifted_starts(corpus.frames[clips], starts, p.clip_frames, p.max_shift, generator)
    strangers = corpus.other(clips, generator)
    elsewhere = corpus.starts(strangers, p.clip_frames, generator)
    easy |= ~found
    sound_clips = torch.where(in_sync | ~easy, clips, strangers)
    sound_starts = torch.where(in_sync, starts, torch.where(easy, elsewhere, shifted))
    style, style_mask = corpus.style(clips, p.style_frames_min, p.style_frames, generator)
    return {
        "expression": corpus.expression.gather(clips, starts, p.clip_frames),
        "audio": corpus.sound(sound_clips, sound_starts, p.clip_frames),
        "style": style,
        "style_mask": style_mask,
        "in_sync": in_sync.float(),
    }


def shifted_starts(
    frames: Tensor, starts: Tensor, length: int, max_shift: int, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Other windows of the same clips, 2 to max_shift frames away, all that fit equally likely.

    Returns:
        (B,) first frames, and (B,) bool: False where the clip is too short for any.
    """
    before = (starts.clamp(max=max_shift) - NEGATIVE_SHIFT + 1).clamp(min=0)
    after = ((frames - length - starts).clamp(max=max_shift) - NEGATIVE_SHIFT + 1).clamp(min=0)
    choice = data.uniform(torch.zeros_like(starts), (before + after - 1).clamp(min=0), generator)
    earlier = starts - NEGATIVE_SHIFT - choice
    later = starts + NEGATIVE_SHIFT + choice - before
    return torch.where(choice < before, earlier, later), before + after > 0


def similarity(expert: LipExpert, face: FaceModel, batch: loop.Batch) -> Tensor:
    """(B,) cosine of each pair."""
    lips = face.mouth_vertices(batch["expression"])
    return expert(lips, batch["audio"], batch["style"], batch["style_mask"])


def task(train: data.Corpus, val: data.Corpus, face: FaceModel, p: parameters.LipExpert) -> loop.Task:
    def loss(expert: LipExpert, batch: loop.Batch) -> tuple[Tensor, dict[str, Tensor]]:
        logit = logits(expert, face, batch)
        in_sync, weight = weights(batch["start"], logit.shape[2], p)
        entropy = functional.binary_cross_entropy_with_logits(logit, in_sync, weight, reduction="sum")
        return entropy, {"balanced_accuracy": (((logit > 0) == in_sync.bool()) * weight).sum()}

    def validate(expert: LipExpert) -> dict[str, float]:
        probability, in_sync, cosine = judge(expert, face, val, p, VALIDATION_PAIRS)
        return {
            "loss": float(expert.expert_loss(cosine, in_sync)),
            "balanced_accuracy": balanced_accuracy(probability, in_sync),
        }

    return loop.Task(lambda generator: draw(train, p, generator), loss, validate, lambda drawn: fill(train, p, drawn))


@torch.no_grad()
def judge(
    expert: LipExpert,
    face: FaceModel,
    corpus: data.Corpus,
    p: parameters.LipExpert,
    count: int,
    negatives: Negatives = "mixed",
) -> tuple[Tensor, Tensor, Tensor]:
    """The expert's probability, the truth and the cosine of `count` pairs, (B,) each; always the same pairs.

    Of a small corpus it takes fewer: at most PAIRS_PER_CLIP times its clips.
    """
    count = min(count, PAIRS_PER_CLIP * len(corpus))
    batch = pairs(corpus, p, count, Generator().manual_seed(0), negatives)
    cosine = similarities(expert, face, batch)
    return expert.probability(cosine), batch["in_sync"].to(cosine.device), cosine


def similarities(expert: LipExpert, face: FaceModel, batch: loop.Batch) -> Tensor:
    """As :func:`similarity`, of any number of pairs, without gradients."""
    parts = zip(*(tensor.split(AT_ONCE) for tensor in batch.values()), strict=True)
    named = (dict(zip(batch, on_device(*part), strict=True)) for part in parts)
    with torch.no_grad():
        return torch.cat([similarity(expert, face, part) for part in named])


def balanced_accuracy(probability: Tensor, in_sync: Tensor) -> float:
    """Mean of the shares of pairs in sync and out of sync that are told, at P = 0.5; chance is 0.5."""
    return float(balanced_accuracy_score(in_sync.cpu().numpy() > 0.5, probability.cpu().numpy() > 0.5))


@torch.no_grad()
def offset_curve(
    expert: LipExpert, face: FaceModel, corpus: data.Corpus, p: parameters.LipExpert, count: int = 256
) -> np.ndarray:
    """Mean probability of sync against the sound's offset, -15..15 frames: (31,). The sound comes from the clip."""
    return expert.probability(offset_similarities(expert, face, corpus, p, count)).mean(1).cpu().numpy()


@torch.no_grad()
def offset_similarities(
    expert: LipExpert, face: FaceModel, corpus: data.Corpus, p: parameters.LipExpert, count: int = 256
) -> Tensor:
    """(31, count) cosines behind :func:`offset_curve`."""
    generator = Generator().manual_seed(0)
    count = min(count, PAIRS_PER_CLIP * len(corpus))
    roomy = torch.nonzero(corpus.frames >= p.clip_frames + 2 * CURVE_SHIFT).flatten()
    if not len(roomy):
        roomy = torch.arange(len(corpus))
    clips = roomy[torch.randint(len(roomy), (count,), generator=generator)]
    last = (corpus.frames[clips] - p.clip_frames - CURVE_SHIFT).clamp(min=CURVE_SHIFT)
    starts = data.uniform(torch.full_like(clips, CURVE_SHIFT), last, generator)
    style, mask = corpus.style(clips, p.style_frames_min, p.style_frames, generator)
    offsets = range(-CURVE_SHIFT, CURVE_SHIFT + 1)
    curves = []
    parts = (tensor.split(AT_ONCE) for tensor in (clips, starts, style, mask))
    for clip, start, reference, padding in zip(*parts, strict=True):
        code = expert.style_encoder(*on_device(reference, padding)) if expert.style_aware else None
        expression, *sounds = on_device(
            corpus.expression.gather(clip, start, p.clip_frames),
            *(corpus.sound(clip, start + offset, p.clip_frames) for offset in offsets),
        )
        lips = expert.lip_tower(face.mouth_vertices(expression), code)
        curves.append(torch.stack([functional.cosine_similarity(lips, expert.audio_tower(s, code)) for s in sounds]))
    return torch.cat(curves, 1)


def on_device(*tensors: Tensor) -> list[Tensor]:
    return [tensor.to(loop.device()) for tensor in tensors]


def report(
    s: Session, expert: LipExpert, face: FaceModel, corpora: dict[str, data.Corpus], p: parameters.LipExpert
) -> None:
    """Final numbers and figures on the validation and test speakers."""
    title = f"Lip expert, {'style-aware' if expert.style_aware else 'unconditional'}"
    offsets = range(-CURVE_SHIFT, CURVE_SHIFT + 1)
    curves, cosines, calibration = {}, {}, {}
    for name, corpus in corpora.items():
        for negatives in ("mixed", "hard", "easy"):
            probability, in_sync, _ = judge(expert, face, corpus, p, TEST_PAIRS, negatives)
            suffix = "" if negatives == "mixed" else f"_{negatives}"
            s.run.summary({f"{name}/balanced_accuracy{suffix}": balanced_accuracy(probability, in_sync)})
            if negatives == "mixed":
                calibration[name] = (in_sync.cpu().numpy(), probability.cpu().numpy())
        similar = offset_similarities(expert, face, corpus, p)
        cosines[name] = similar.mean(1).tolist()
        curves[name] = expert.probability(similar).detach().mean(1).cpu().numpy()
        s.run.summary({f"{name}/best_offset": offsets[int(curves[name].argmax())]})
    s.run.figure(
        "similarity",
        figures.lines(offsets, cosines, "offset of the sound, frames", "mean cosine", title, marker=0),
    )
    s.run.figure(
        "offset",
        figures.lines(offsets, curves, "offset of the sound, frames", "probability of sync", title, marker=0),
    )
    truth, probability = calibration["test"]
    share, mean = calibration_curve(truth, probability, n_bins=CALIBRATION_BINS)
    s.run.figure(
        "calibration",
        figures.lines(
            mean, {"test": share}, "probability said", "share in sync", f"{title}, test speakers", diagonal=True
        ),
    )


def network(variant: str, face: FaceModel, corpus: data.Corpus, p: parameters.LipExpert) -> LipExpert:
    """An untrained expert for this corpus."""
    return LipExpert(
        lip_dim=face.mouth_vertices(torch.zeros(face.expression_dim, device=face.mean.device)).numel(),
        audio_dim=corpus.audio.width,
        motion_dim=corpus.expression.width,
        style_frames=p.style_frames,
        clip_frames=p.clip_frames,
        embedding=p.embedding,
        d_model=p.d_model,
        heads=p.heads,
        feedforward=p.feedforward,
        layers=p.layers,
        dropout=p.dropout,
        style_aware=variant == "style_aware",
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.training.lip_expert", description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    variant = parser.parse_args().variant
    with session("train_lip_expert", "lip_expert", variant, (SPLIT, MOTION, AUDIO, FACE_MODEL)) as s:
        p = s.params.lip_expert
        split = read_split(s.run)
        corpora = {name: data.load(split[split["split"] == name], MOTION, AUDIO) for name in ("train", "val", "test")}
        face = face_model()
        torch.manual_seed(s.seed)
        expert = network(variant, face, corpora["train"], p)
        work = task(corpora["train"], corpora["val"], face, p)
        expert = s.train(expert, work, steps=p.steps, learning_rate=p.learning_rate)
        s.save(expert)
        report(s, expert, face, {name: corpora[name] for name in ("val", "test")}, p)


if __name__ == "__main__":
    main()
