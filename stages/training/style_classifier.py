"""Fit the style classifier, judge of style accuracy: which style group does a motion belong to?
(DreamTalk, section IV-A; its groups are not published, ours are speaker × emotion × level.)

As a judge it learns from the clips of all splits but the test clips, on which it is then tested: other videos of the
same groups.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import confusion_matrix
from torch import Tensor

from dreamtalk_models.style_classifier import StyleClassifier
from stages.columns import Columns
from stages.files import write_json
from stages.training import figures
from stages.training.session import MOTION, SPLIT, read_split, session

LEARNT_FROM = ("train", "val", "judge")


def groups_to_learn(split: pd.DataFrame) -> pd.DataFrame:
    """The clips to learn from: those of style groups that are tested or show in several clips; all, where no group
    does. One clip does not tell what is style and what is chance, and its group would only draw verdicts away."""
    learnt = split[split["split"].isin(LEARNT_FROM)]
    several = learnt.groupby("style")["clip_id"].transform("size") > 1
    chosen = several | learnt["style"].isin(split.loc[split["split"] == "test", "style"])
    return learnt[chosen] if chosen.any() else learnt


def motions(clips: pd.DataFrame, columns: Columns) -> list[Tensor]:
    """The expression (n, D) of each clip."""
    return [torch.tensor(columns[clip_id]["expression"]) for clip_id in clips["clip_id"]]


def residuals(clips: list[Tensor], labels: Tensor) -> Tensor:
    """(m, D) how mean motions differ within a group: between its clips, where any group has two; else between the two
    halves of a clip."""
    if labels.bincount().max() > 1:
        means, group = torch.stack([clip.mean(0) for clip in clips]), labels
    else:
        means = torch.stack([half.mean(0) for clip in clips for half in clip.tensor_split(2)])
        group = torch.arange(len(clips)).repeat_interleave(2)
    several = [one for one, count in enumerate(group.bincount()) if count > 1]
    return torch.cat([means[group == one] - means[group == one].mean(0) for one in several])


def fit(clips: list[Tensor], styles: list[str], classes: list[str], shrinkage: float) -> StyleClassifier:
    """A classifier of `classes` that knows `clips`, whose style groups are `styles`."""
    labels = torch.tensor([classes.index(style) for style in styles])
    means = torch.stack([clip.mean(0) for clip in clips])
    classifier = StyleClassifier(motion_dim=means.shape[1], classes=len(classes))
    classifier.fit(means, labels, residuals(clips, labels), shrinkage)
    return classifier.eval()


@torch.no_grad()
def judge(classifier: StyleClassifier, clips: list[Tensor], classes: list[str]) -> list[str]:
    """The style group that each clip is taken for."""
    return [classes[int(classifier(clip[None]).argmax())] for clip in clips]


def by_part(names: list[str], part: int) -> list[str]:
    """One part of style groups' names, "speaker/emotion/level"."""
    return [name.rsplit("/", 2)[part] for name in names]


def accuracies(truth: list[str], verdict: list[str]) -> dict[str, float]:
    """Share of right groups, emotions, levels and speakers."""
    parts = {"accuracy": (truth, verdict)}
    for index, name in enumerate(("speaker", "emotion", "level")):
        parts[f"{name}_accuracy"] = by_part(truth, index), by_part(verdict, index)
    return {name: float(np.mean(np.array(a) == np.array(b))) for name, (a, b) in parts.items()}


def main() -> None:
    with session("train_style_classifier", "style_classifier", inputs=(SPLIT, MOTION)) as s:
        split = read_split(s.run)
        columns = Columns(MOTION)
        learnt = groups_to_learn(split)
        classes = sorted(learnt["style"].unique())
        shrinkage = s.params.style_classifier.shrinkage
        classifier = fit(motions(learnt, columns), learnt["style"].tolist(), classes, shrinkage)
        s.save(classifier)
        write_json(classes, s.out / "classes.json")

        tested = split[(split["split"] == "test") & split["style"].isin(classes)]
        s.run.summary({"classes": len(classes), "test/chance": 1 / len(classes), "test/clips": len(tested)})
        if tested.empty:
            print("train_style_classifier: no test clip is of a style that another clip shows, so nothing tests it")
            return
        truth = tested["style"].tolist()
        verdict = judge(classifier, motions(tested, columns), classes)
        s.run.summary({f"test/{name}": value for name, value in accuracies(truth, verdict).items()})
        emotions = sorted({*by_part(truth, 1), *by_part(verdict, 1)})
        matrix = confusion_matrix(by_part(truth, 1), by_part(verdict, 1), labels=emotions)
        s.run.figure("confusion_emotion", figures.confusion(matrix, emotions, "Style classifier, test clips"))
        shown = sorted({*truth, *verdict})
        matrix = confusion_matrix(truth, verdict, labels=shown)
        s.run.figure("confusion", figures.confusion(matrix, shown, "Style classifier, test clips"))


if __name__ == "__main__":
    main()
