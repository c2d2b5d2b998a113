"""Train the style classifier, judge of style accuracy: which style group does a motion belong to?
(DreamTalk, section IV-A; its groups are not published, ours are speaker × emotion × level.)

As a judge it learns from the clips of all splits but the test clips, on which it is then tested: other videos of the
same groups. No clip is held out besides, so the last weights are kept.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from torch import Generator, Tensor
from torch.nn import functional

from dreamtalk_models.style_classifier import StyleClassifier
from stages import params as parameters
from stages.files import write_json
from stages.training import data, figures, loop
from stages.training.session import MOTION, SPLIT, read_split, session

LEARNT_FROM = ("train", "val", "judge")


def class_numbers(corpus: data.Corpus, classes: list[str]) -> Tensor:
    """(clips,) index of each clip's style group in `classes`."""
    number = {name: index for index, name in enumerate(classes)}
    return torch.tensor([number[name] for name in corpus.table["style"]])


def examples(
    corpus: data.Corpus, labels: Tensor, p: parameters.StyleClassifier, count: int, generator: Generator
) -> loop.Batch:
    """Random noisy segments: motion (B, L, D), mask (B, L) and label (B,)."""
    clips = corpus.clips(count, generator)
    segments = corpus.segments(clips, p.clip_frames_min, p.clip_frames, generator)
    motion, mask = corpus.motion(clips, *segments, p.clip_frames)
    noise = p.noise * corpus.expression.std() * torch.randn(motion.shape, generator=generator)
    return {"motion": (motion + noise).masked_fill(mask[..., None], 0), "mask": mask, "label": labels[clips]}


def task(corpus: data.Corpus, labels: Tensor, p: parameters.StyleClassifier) -> loop.Task:
    def loss(classifier: StyleClassifier, batch: loop.Batch, _: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        logits = classifier(batch["motion"], batch["mask"])
        accuracy = (logits.argmax(1) == batch["label"]).float().mean()
        entropy = functional.cross_entropy(logits, batch["label"], label_smoothing=p.label_smoothing)
        return entropy, {"accuracy": accuracy}

    def validate(classifier: StyleClassifier) -> dict[str, float]:
        return {"train_clips_accuracy": float((judge(classifier, corpus, p) == labels).float().mean())}

    return loop.Task(lambda generator: examples(corpus, labels, p, p.batch, generator), loss, validate)


@torch.no_grad()
def judge(classifier: StyleClassifier, corpus: data.Corpus, p: parameters.StyleClassifier) -> Tensor:
    """(clips,) verdict on every clip, whole."""
    verdicts = []
    for clips in torch.arange(len(corpus)).split(p.batch):
        motion, mask = corpus.motion(
            clips, torch.zeros_like(clips), corpus.frames[clips], int(corpus.frames[clips].max())
        )
        verdicts.append(classifier(motion.to(loop.device()), mask.to(loop.device())).argmax(1).cpu())
    return torch.cat(verdicts)


def by_part(names: list[str], part: int) -> list[str]:
    """One part of style groups' names, "speaker/emotion/level"."""
    return [name.rsplit("/", 2)[part] for name in names]


def accuracies(truth: list[str], verdict: list[str]) -> dict[str, float]:
    """Share of right groups, emotions, levels and speakers."""
    parts = {"accuracy": (truth, verdict)}
    for index, name in enumerate(("speaker", "emotion", "level")):
        parts[f"{name}_accuracy"] = by_part(truth, index), by_part(verdict, index)
    return {name: float(np.mean(np.array(a) == np.array(b))) for name, (a, b) in parts.items()}


def network(corpus: data.Corpus, classes: list[str], p: parameters.StyleClassifier) -> StyleClassifier:
    """An untrained classifier for this corpus."""
    return StyleClassifier(
        motion_dim=corpus.expression.width,
        classes=len(classes),
        channels=p.channels,
        layers=p.layers,
        dropout=p.dropout,
    )


def main() -> None:
    with session("train_style_classifier", "style_classifier", inputs=(SPLIT, MOTION)) as s:
        p = s.params.style_classifier
        split = read_split(s.run)
        learnt = data.load(split[split["split"].isin(LEARNT_FROM)], MOTION)
        classes = sorted(learnt.table["style"].unique())
        tested = split[(split["split"] == "test") & split["style"].isin(classes)]
        torch.manual_seed(s.params.seed)
        labels = class_numbers(learnt, classes)
        classifier = network(learnt, classes, p)
        classifier = s.train(classifier, task(learnt, labels, p), steps=p.steps, learning_rate=p.learning_rate)
        s.save(classifier)
        write_json(classes, s.out / "classes.json")

        s.run.summary({"classes": len(classes), "test/chance": 1 / len(classes), "test/clips": len(tested)})
        if tested.empty:
            print("train_style_classifier: no test clip is of a style that another clip shows, so nothing tests it")
            return
        test = data.load(tested, MOTION)
        truth = test.table["style"].tolist()
        verdict = [classes[index] for index in judge(classifier, test, p)]
        s.run.summary({f"test/{name}": value for name, value in accuracies(truth, verdict).items()})
        emotions = sorted(set(by_part(classes, 1)))
        matrix = confusion_matrix(by_part(truth, 1), by_part(verdict, 1), labels=emotions)
        s.run.figure("confusion_emotion", figures.confusion(matrix, emotions, "Style classifier, test clips"))
        shown = sorted({*truth, *verdict})
        matrix = confusion_matrix(truth, verdict, labels=shown)
        s.run.figure("confusion", figures.confusion(matrix, shown, "Style classifier, test clips"))


if __name__ == "__main__":
    main()
