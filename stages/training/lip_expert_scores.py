"""How well a lip expert tells what is in sync: its probabilities, its curve over the sound's offset, its figures."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import balanced_accuracy_score
from torch import Generator, Tensor
from torch.nn import functional

from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.lip_expert import LipExpert
from stages import params as parameters
from stages.training import data, figures, loop
from stages.training.lip_expert_pairs import Negatives, pairs
from stages.training.session import Session

TEST_PAIRS = 4096
PAIRS_PER_CLIP = 64  # at most; more windows of the same few clips tell nothing new
AT_ONCE = 64  # pairs judged at once; bounds memory, for each brings a style reference
CURVE_SHIFT = 15  # frames
CALIBRATION_BINS = 10


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


@torch.no_grad()
def similarities(expert: LipExpert, face: FaceModel, batch: loop.Batch) -> Tensor:
    """(B,) cosine of each pair of :func:`stages.training.lip_expert_pairs.pairs`, without gradients."""
    found = []
    for part in zip(*(tensor.split(AT_ONCE) for tensor in batch.values()), strict=True):
        some = dict(zip(batch, on_device(*part), strict=True))
        lips = face.mouth_vertices(some["expression"])
        found.append(expert(lips, some["audio"], some["style"], some["style_mask"]))
    return torch.cat(found)


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
