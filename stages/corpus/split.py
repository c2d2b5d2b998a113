"""Stage `split`: who is trained on and who is tested, style groups, and the pairs that training and evaluation need."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from stages import params as parameters
from stages import tables, tracking
from stages.corpus import partners
from stages.corpus.together import MeadError, kept_together, styles
from stages.params import Split
from stages.program import one_line_errors

CLIPS, SPLIT = Path("data/clips/clips.parquet"), Path("data/split.parquet")
TOGETHER = "together"


class SplitError(ValueError):
    """The split that is asked for cannot be made of this corpus; the text says why."""


def split(clips: pd.DataFrame, settings: Split, seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Assign every clip. The pieces of one video always stay together (see stages/corpus/together.py).

    Protocol "speakers": speakers are drawn for test and val, or named; the rest train. Those drawn first for test have
    videos to spare for the style classifier: more than `test_clips_per_style` of most styles. Of a test speaker's
    videos, that many of each style group are "test"; the others are "judge". A corpus with too few speakers gives up
    some of both, the last val speaker before the last test speaker, so that half are left to train on; never one that
    is named. One speaker alone is split by video.

    Protocol "mead_sentences": of each speaker, emotion and level the last sentences are "test", by their sorted numbers
    that are really there, as MEAD's authors do; the rest train. Its speakers are on both sides.

    Where nobody is left for val, videos of those trained on stand in.

    Returns:
        The table (tables.SPLIT), and warnings where the corpus was too small for what `settings` ask.

    Raises:
        SplitError: a named speaker is not in the corpus or named twice, or nothing is left to train on.
        MeadError: the protocol "mead_sentences", and a clip whose name tells no sentence.
    """
    kept = ["clip_id", "speaker", "emotion", "level", "frames", "source_file"]
    table = clips[kept].sort_values("clip_id", ignore_index=True)
    table["style"], table[TOGETHER] = styles(table), kept_together(table, settings.protocol)
    rng = np.random.default_rng(seed)
    table["split"], warnings = _parts(table, settings, rng)
    if not (table["split"] == "train").any():
        raise SplitError("nothing is left to train on: " + "; ".join(warnings or ["all speakers are test or val"]))
    warnings += _lend_val(table, rng)
    table["portrait_clip_id"] = partners.portraits(table)
    table["other_audio_clip_id"] = partners.other_audio(table)
    return table.drop(columns=["frames", "source_file"]), warnings


def _parts(table: pd.DataFrame, settings: Split, rng: np.random.Generator) -> tuple[pd.Series, list[str]]:
    if settings.protocol == "mead_sentences":
        return _by_sentence(table, settings)
    speakers = list(rng.permutation(sorted(table["speaker"].unique())))
    named = [names for names in (settings.test_speakers, settings.val_speakers) if isinstance(names, list)]
    return (_by_speaker if len(speakers) > 1 or named else _by_video)(table, speakers, settings, rng)


def _by_speaker(
    table: pd.DataFrame, speakers: list[str], settings: Split, rng: np.random.Generator
) -> tuple[pd.Series, list[str]]:
    videos = table.groupby(["speaker", "style"])[TOGETHER].nunique()
    spare = videos.groupby("speaker").median() > settings.test_clips_per_style
    speakers = sorted(speakers, key=lambda speaker: not spare[speaker])  # stable: the draw decides among equals
    tests, vals, warnings = _choose(speakers, settings)
    role = dict.fromkeys(speakers, "train") | dict.fromkeys(tests, "judge") | dict.fromkeys(vals, "val")
    result = table["speaker"].map(role)
    groups = [group.index for _, group in table[result == "judge"].groupby("style", sort=True)]
    drawn = [video for group in groups for video in _shuffled(table, group, rng)[: settings.test_clips_per_style]]
    result[table[TOGETHER].isin(drawn)] = "test"
    return result, warnings


def _choose(speakers: list[str], settings: Split) -> tuple[list[str], list[str], list[str]]:
    """Speakers for test and for val, the named ones or else the first of those not named; and warnings."""
    wanted = {"test": settings.test_speakers, "val": settings.val_speakers}
    named = {part: names for part, names in wanted.items() if isinstance(names, list)}
    taken = _check_names(named, speakers)
    asked = {part: count for part, count in wanted.items() if part not in named}
    counts = _affordable(asked, max(1, len(speakers) // 2) - len(taken))
    free = [speaker for speaker in speakers if speaker not in taken]
    tests = named.get("test") or free[: counts["test"]]
    vals = named.get("val") or [speaker for speaker in free if speaker not in tests][: counts["val"]]
    if counts == asked:
        return tests, vals, []
    found = " and ".join(
        f"{counts[part]} for {part} instead of {asked[part]}" for part in asked if counts[part] < asked[part]
    )
    return tests, vals, [f"only {len(speakers)} speakers: {found}, so that some are left to train on"]


def _check_names(named: dict[str, list[str]], speakers: list[str]) -> list[str]:
    """All names; SplitError where one is unknown or stands on both sides."""
    for part, names in named.items():
        if unknown := sorted(set(names) - set(speakers)):
            known = _listed(sorted(speakers))
            raise SplitError(f"split.{part}_speakers names {_listed(unknown)}, not in this corpus; it has {known}")
    taken = [name for names in named.values() for name in names]
    if twice := sorted({name for name in taken if taken.count(name) > 1}):
        raise SplitError(f"{_listed(twice)} cannot be in both split.test_speakers and split.val_speakers")
    return taken


def _affordable(asked: dict[str, int], room: int) -> dict[str, int]:
    """Counts of speakers brought down to `room` in all, the larger first, but never to no test speaker."""
    counts, least = dict(asked), {"test": 1, "val": 0}
    while sum(counts.values()) > room:
        open_to_cuts = [part for part in counts if counts[part] > least[part]]
        if not open_to_cuts:
            break
        counts[max(open_to_cuts, key=lambda part: (counts[part], part == "val"))] -= 1
    return counts


def _by_sentence(table: pd.DataFrame, settings: Split) -> tuple[pd.Series, list[str]]:
    place = table.groupby("style")[TOGETHER].rank(method="dense", ascending=False)  # 1: the last sentence there is
    neutral = table["emotion"] == "neutral"
    last = np.where(neutral, settings.mead_neutral_sentences, settings.mead_other_sentences)
    result = pd.Series(np.where(place <= last, "test", "train"), index=table.index)
    untrained = sorted(set(table["style"]) - set(table.loc[result == "train", "style"]))
    warning = f"{len(untrained)} style groups have test sentences only: {_listed(untrained)}"
    return result, [warning] if untrained else []


def _by_video(
    table: pd.DataFrame, speakers: list[str], settings: Split, rng: np.random.Generator
) -> tuple[pd.Series, list[str]]:
    result = pd.Series("train", index=table.index)
    warning = f"ONE SPEAKER ({speakers[0]}): split by video; what is measured is not how it works for unseen people"
    sizes = table[TOGETHER].value_counts()
    if len(sizes) < 2:
        return result, [warning, f"ONE {'VIDEO' if len(table) > 1 else 'CLIP'}: nothing is left to test on"]
    offered = [
        video
        for _, group in table.groupby("style", sort=True)
        if group[TOGETHER].nunique() > settings.test_clips_per_style
        for video in _shuffled(table, group.index, rng)[: settings.test_clips_per_style]
    ] or _shuffled(table, table.index, rng)
    offered = list(dict.fromkeys(offered))
    most = max(1, len(table) // 4)
    drawn = [video for video, total in zip(offered, sizes[offered].cumsum(), strict=True) if total <= most]
    result[table[TOGETHER].isin(drawn or [sizes[offered].idxmin()])] = "test"
    return result, [warning]


def _lend_val(table: pd.DataFrame, rng: np.random.Generator) -> list[str]:
    """Where nobody is in val, move an eighth of the training videos there, if there are two or more."""
    train = table.index[table["split"] == "train"]
    if (table["split"] == "val").any():
        return []
    if table.loc[train, TOGETHER].nunique() < 2:
        return ["ONE VIDEO to train on: nothing is left to validate on"]
    videos = _shuffled(table, train, rng)
    table.loc[table[TOGETHER].isin(videos[: max(1, len(videos) // 8)]), "split"] = "val"
    return ["no speaker is left for val: clips of the speakers trained on stand in"]


def _shuffled(table: pd.DataFrame, clips: pd.Index, rng: np.random.Generator) -> list[str]:
    """The videos of some clips, in an order that is drawn."""
    return list(rng.permutation(table.loc[clips, TOGETHER].unique()))


def _listed(names: Iterable[str], most: int = 8) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@one_line_errors("split", SplitError, MeadError)
def main() -> None:
    params = parameters.load()
    clips = tables.read(CLIPS)
    with tracking.stage_run("split", params, ["split"]) as run:
        table, warnings = split(clips, params.split, params.seed)
        tables.write(table, tables.SPLIT, SPLIT)
        for warning in warnings:
            print(f"split: WARNING: {warning}", flush=True)
        counts = table["split"].value_counts()
        print("split: " + ", ".join(f"{count} {name}" for name, count in counts.items()), flush=True)
        run.summary({f"clips_{name}": int(counts.get(name, 0)) for name in ("train", "val", "test", "judge")})
        run.summary({f"speakers_{name}": part["speaker"].nunique() for name, part in table.groupby("split")})
        run.summary({"styles": table["style"].nunique(), "warnings": len(warnings)})
        run.dataset("split", table, SPLIT)


if __name__ == "__main__":
    main()
