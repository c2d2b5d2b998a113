from __future__ import annotations

import torch

from stages.params import StyleClassifier, TrainingLoop
from stages.training import data, loop, style_classifier

P = StyleClassifier(
    clip_frames=48,
    clip_frames_min=32,
    noise=0.1,
    label_smoothing=0.0,
    channels=32,
    layers=1,
    dropout=0.0,
    batch=16,
    steps=500,
    learning_rate=5e-3,
)
LOOP = TrainingLoop(warmup=0.05, weight_decay=0.01, clip_norm=1.0, validations=3)


def test_groups_of_unseen_clips_are_recognised(toy, tmp_path) -> None:
    part = toy.split[toy.split["split"].isin(style_classifier.LEARNT_FROM)]
    learnt = data.load(part, toy.root / "data/motion")
    classes = sorted(learnt.table["style"].unique())
    labels = style_classifier.class_numbers(learnt, classes)
    torch.manual_seed(0)
    classifier = loop.train(
        style_classifier.network(learnt, classes, P),
        style_classifier.task(learnt, labels, P),
        LOOP,
        steps=P.steps,
        learning_rate=P.learning_rate,
        seed=0,
        work=tmp_path,
        log=lambda *_: None,
        label="style",
    )
    test = toy.corpus("test")
    verdict = [classes[index] for index in style_classifier.judge(classifier, test, P)]
    scores = style_classifier.accuracies(test.table["style"].tolist(), verdict)
    assert scores["accuracy"] >= 0.75  # chance: 0.05
    assert scores["accuracy"] <= min(scores["speaker_accuracy"], scores["emotion_accuracy"], scores["level_accuracy"])


def test_judges_never_learn_from_test_clips() -> None:
    assert "test" not in style_classifier.LEARNT_FROM


def test_accuracies_count_parts() -> None:
    scores = style_classifier.accuracies(["a/happy/1", "b/sad/2"], ["a/happy/2", "a/sad/2"])
    assert scores == {"accuracy": 0.0, "speaker_accuracy": 0.5, "emotion_accuracy": 1.0, "level_accuracy": 0.5}


def test_noise_leaves_padding_zero(toy) -> None:
    corpus = toy.corpus("train")
    labels = torch.arange(len(corpus))
    batch = style_classifier.examples(corpus, labels, P, 32, torch.Generator().manual_seed(0))
    assert (batch["motion"][batch["mask"]] == 0).all()
    assert (batch["motion"][~batch["mask"]] != 0).any()
