"""Train the lip expert: are these lips in sync with this sound? (DreamTalk, section III-B, equations 3 and 5.)

Training takes several windows of each clip and learns from all pairs among them at once (lip_expert_pairs.py): from
single pairs the cross-entropy stays at chance for very long.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor
from torch.nn import functional

from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.lip_expert import LipExpert, Tower
from stages import params as parameters
from stages.training import data, loop
from stages.training.lip_expert_pairs import draw, fill, weights
from stages.training.lip_expert_scores import balanced_accuracy, judge, report
from stages.training.session import AUDIO, FACE_MODEL, MOTION, SPLIT, face_model, read_split, session

VARIANTS = ("style_aware", "unconditional")
VALIDATION_PAIRS = 1024


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
