from __future__ import annotations

import pandas as pd
import torch

from stages.columns import Columns
from stages.training import style_classifier


def test_groups_of_unseen_clips_are_recognised(toy) -> None:
    columns = Columns(toy.root / "data/motion")
    learnt = style_classifier.groups_to_learn(toy.split)
    test = toy.split[toy.split["split"] == "test"]
    classes = sorted(learnt["style"].unique())
    known = style_classifier.motions(learnt, columns)
    classifier = style_classifier.fit(known, learnt["style"].tolist(), classes, shrinkage=0.1)
    verdict = style_classifier.judge(classifier, style_classifier.motions(test, columns), classes)
    scores = style_classifier.accuracies(test["style"].tolist(), verdict)
    assert scores["accuracy"] >= 0.75  # chance: 0.05
    assert scores["accuracy"] <= min(scores["speaker_accuracy"], scores["emotion_accuracy"], scores["level_accuracy"])


def test_learns_from_groups_of_several_clips_and_never_from_test_clips() -> None:
    split = pd.DataFrame(
        [("a", "x", "train"), ("b", "y", "judge"), ("c", "y", "judge"), ("d", "z", "judge"), ("e", "z", "test")],
        columns=["clip_id", "style", "split"],
    )
    assert style_classifier.groups_to_learn(split)["clip_id"].tolist() == ["b", "c", "d"]
    alone = split[split["style"] == "x"]
    assert style_classifier.groups_to_learn(alone)["clip_id"].tolist() == ["a"]


def test_accuracies_count_parts() -> None:
    scores = style_classifier.accuracies(["a/happy/1", "b/sad/2"], ["a/happy/2", "a/sad/2"])
    assert scores == {"accuracy": 0.0, "speaker_accuracy": 0.5, "emotion_accuracy": 1.0, "level_accuracy": 0.5}


def test_a_slash_in_a_speaker_does_no_harm() -> None:
    assert style_classifier.by_part(["lab/ann/happy/2"], 1) == ["happy"]


def test_residuals_come_from_clips_of_one_style_or_else_from_halves() -> None:
    clips = [torch.full((4, 1), value) for value in (1.0, 3.0, 7.0)]
    between = style_classifier.residuals(clips, torch.tensor([0, 0, 1]))
    assert between.flatten().tolist() == [-1.0, 1.0]
    ramp = [torch.arange(4.0)[:, None]]
    assert style_classifier.residuals(ramp, torch.tensor([0])).flatten().tolist() == [-1.0, 1.0]
