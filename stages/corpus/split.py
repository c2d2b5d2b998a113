"""Stage `split`: who is trained on and who is tested, style groups, and the pairs that training and evaluation need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from stages import params as parameters
from stages import tables, tracking
from stages.params import Split
from stages.program import one_line_errors

CLIPS, SPLIT = Path("data/clips/clips.parquet"), Path("data/split.parquet")


def split(clips: pd.DataFrame, settings: Split, seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Assign every clip.

    Speakers are drawn for test and val; the rest train. Those come first for test who have clips to spare for the style
    classifier: more than `test_clips_per_style` of most styles. Of a test speaker's clips, that many of each style
    group are "test", at least one in all; the others are "judge". A corpus with too few speakers gives up some of both,
    the last val speaker before the last test speaker, so that half are left to train on. One speaker alone is split by
    clip. Where no speaker is left for val, clips of those trained on stand in.

    Returns:
        The table (tables.SPLIT), and warnings where the corpus was too small for what `settings` ask.
    """
    table = clips[["clip_id", "speaker", "emotion", "level", "frames"]].sort_values("clip_id", ignore_index=True)
    table["style"] = [style(row.speaker, row.emotion, row.level) for row in table.itertuples()]
    rng = np.random.default_rng(seed)
    speakers = list(rng.permutation(sorted(table["speaker"].unique())))
    chosen = _by_speaker if len(speakers) > 1 else _by_clip
    table["split"], warnings = chosen(table, speakers, settings, rng)
    warnings += _lend_val(table, rng)
    table["portrait_clip_id"] = _portraits(table)
    table["other_audio_clip_id"] = _other_audio(table)
    return table.drop(columns="frames"), warnings


def style(speaker: str, emotion: str | None, level: int | None) -> str:
    """Name of a style group: M030/angry/3, or M030/unknown/0 where the emotion is not known."""
    if pd.isna(emotion):
        return f"{speaker}/unknown/0"
    return f"{speaker}/{emotion}/{0 if pd.isna(level) else int(level)}"


def _by_speaker(
    table: pd.DataFrame, speakers: list[str], settings: Split, rng: np.random.Generator
) -> tuple[pd.Series, list[str]]:
    spare = table.groupby(["speaker", "style"]).size().groupby("speaker").median() > settings.test_clips_per_style
    speakers = sorted(speakers, key=lambda speaker: not spare[speaker])  # stable: the draw decides among equals
    tests, vals = settings.test_speakers, settings.val_speakers
    while tests + vals > max(1, len(speakers) // 2):
        tests, vals = (tests - 1, vals) if tests > vals else (tests, vals - 1)
    role = dict.fromkeys(speakers, "train") | dict.fromkeys(speakers[:tests], "judge")
    role |= dict.fromkeys(speakers[tests : tests + vals], "val")
    result = table["speaker"].map(role)
    for _, group in table[result == "judge"].groupby("style", sort=True):
        result.loc[rng.permutation(group.index)[: settings.test_clips_per_style]] = "test"
    wanted = (settings.test_speakers, settings.val_speakers)
    if (tests, vals) == wanted:
        return result, []
    return result, [
        f"only {len(speakers)} speakers: {tests} for test and {vals} for val"
        f" instead of {wanted[0]} and {wanted[1]}, so that some are left to train on"
    ]


def _lend_val(table: pd.DataFrame, rng: np.random.Generator) -> list[str]:
    """Where nobody is in val, move an eighth of the training clips there, if there are two or more."""
    train = table.index[table["split"] == "train"]
    if (table["split"] == "val").any() or len(train) < 2:
        return []
    table.loc[rng.permutation(train)[: max(1, len(train) // 8)], "split"] = "val"
    return ["no speaker is left for val: clips of the speakers trained on stand in"]


def _by_clip(
    table: pd.DataFrame, speakers: list[str], settings: Split, rng: np.random.Generator
) -> tuple[pd.Series, list[str]]:
    result = pd.Series("train", index=table.index)
    warning = f"ONE SPEAKER ({speakers[0]}): split by clip; what is measured is not how it works for unseen people"
    if len(table) < 2:
        return result, [warning, "ONE CLIP: nothing is left to test on"]
    most = max(1, len(table) // 4)
    tests = [
        index
        for _, group in table.groupby("style", sort=True)
        if len(group) > settings.test_clips_per_style
        for index in rng.permutation(group.index)[: settings.test_clips_per_style]
    ] or list(rng.permutation(table.index))
    result.loc[tests[:most]] = "test"
    return result, [warning]


def _portraits(table: pd.DataFrame) -> list[str]:
    """For each clip the next clip of its speaker in another style, or else in its own, or else itself."""
    result = {}
    for _, group in table.groupby("speaker", sort=True):
        ids, styles = list(group["clip_id"]), list(group["style"])
        for place, clip_id in enumerate(ids):
            turn = [*range(place + 1, len(ids)), *range(place)]
            others = [i for i in turn if styles[i] != styles[place]] or turn or [place]
            result[clip_id] = ids[others[0]]
    return [result[clip_id] for clip_id in table["clip_id"]]


def _other_audio(table: pd.DataFrame) -> list[str]:
    """For each clip one whose sound is wrong for it, the nearest in length: of another style group, if possible of the
    same speaker and split, then of the same speaker, the same split, or anyone; else another clip of its speaker; the
    clip itself only if it is alone."""
    by_length = table.sort_values(["frames", "clip_id"])
    pools = [by_length.groupby(keys) for keys in (["speaker", "split"], ["speaker"], ["split"])]
    result = pd.Series(pd.NA, index=table.index, dtype=object)
    for pool in (*pools, [("all", by_length)]):
        for _, group in pool:
            if group["style"].nunique() > 1 and result[group.index].isna().any():
                result = result.fillna(_nearest(group, "style"))
    for _, group in pools[1]:
        result = result.fillna(_nearest(group, "clip_id"))
    return list(result.fillna(table["clip_id"]))


def _nearest(group: pd.DataFrame, differs: str) -> pd.Series:
    """For each row of a table in order of length, the clip_id of the nearest row that differs in one column."""
    values, frames, ids = (group[name].to_numpy() for name in (differs, "frames", "clip_id"))
    below, above = _last_other(values), len(values) - 1 - _last_other(values[::-1])[::-1]
    places = np.arange(len(values))
    has_below, has_above = below >= 0, above < len(values)
    gap_below = np.where(has_below, frames - frames[np.maximum(below, 0)], np.inf)
    gap_above = np.where(has_above, frames[np.minimum(above, len(values) - 1)] - frames, np.inf)
    chosen = np.where(gap_below <= gap_above, below, above)
    known = has_below | has_above
    return pd.Series(ids[chosen[known]], index=group.index[places[known]], dtype=object)


def _last_other(values: np.ndarray) -> np.ndarray:
    """For each place the last one before it with another value, or -1."""
    result = np.full(len(values), -1)
    for place in range(1, len(values)):
        result[place] = place - 1 if values[place - 1] != values[place] else result[place - 1]
    return result


@one_line_errors("split")
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
