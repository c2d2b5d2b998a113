"""What the corpus is, in numbers: how many clips of whom, in which styles, how long, and what was rejected for what."""

from __future__ import annotations

import numpy as np
import pandas as pd

from stages import tables
from stages.corpus.reasons import kind
from stages.corpus.together import styles

SPLITS = ("train", "val", "test", "judge")
SPEAKERS = 40  # rows of a table of speakers; the others are one row
REASON = 140  # characters of a reason that are shown


def seconds(clips: pd.DataFrame) -> pd.Series:
    """Length of each clip in s; NaN where its row tells none."""
    return (clips["frames"] / clips["fps"]).astype(float).replace([np.inf, -np.inf], np.nan)


def facts(clips: pd.DataFrame) -> dict[str, float]:
    """Totals: clips, speakers, styles (speaker × emotion × level), hours, shortest, median and longest clip in s, the
    mean and the least share of frames in which a face was found, and the median and the least face in px."""
    lengths = seconds(clips)
    return {
        "clips": len(clips),
        "speakers": clips["speaker"].nunique(),
        "styles": styles(clips).nunique(),
        "hours": lengths.sum() / 3600,
        "shortest_s": lengths.min(),
        "median_s": lengths.median(),
        "longest_s": lengths.max(),
        "detection_mean": clips["detection_rate"].mean(),
        "detection_least": clips["detection_rate"].min(),
        "face_px_median": clips["face_px"].median(),
        "face_px_least": clips["face_px"].min(),
    }


def fates(clips: pd.DataFrame, quarantine: pd.DataFrame) -> dict[str, int]:
    """What became of the items: how many "gave clips", "gave none", and "could not be read" at ingest. With the takes
    "takes rejected", of whatever item."""
    made = set(tables.item_of(clips["clip_id"]))
    unread = set(quarantine.loc[quarantine["stage"] == "ingest", "item_id"]) - made
    refused = set(quarantine["item_id"]) - made - unread
    return {
        "gave clips": len(made),
        "gave none": len(refused),
        "could not be read": len(unread),
        "takes rejected": int(quarantine["start_s"].notna().sum()),
    }


def by_speaker(clips: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Rows per speaker, and a last row of all: clips, minutes, and clips in each part of the split.

    Of many speakers, those with most clips have rows of their own.

    Args:
        clips: tables.CLIPS. split: tables.SPLIT.
    """
    result = _counted(clips, split)
    total = result.sum()
    if len(result) > SPEAKERS:
        largest = result.sort_values("clips", ascending=False, kind="stable").index[: SPEAKERS - 1]
        rest = result.drop(index=largest)
        result = result.loc[sorted(largest)]
        result.loc[f"{len(rest):,} others"] = rest.sum()
    result.loc["all"] = total
    return result.rename_axis("speaker").reset_index().astype(dict.fromkeys(("clips", *SPLITS), int))


def minutes_by_speaker(clips: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Minutes of each speaker (rows: those of a part together, longest first) in each part of the split (columns)."""
    table = _placed(clips, split)
    minutes = table.pivot_table(index="speaker", columns="split", values="minutes", aggfunc="sum", fill_value=0.0)
    minutes = minutes.reindex(columns=SPLITS, fill_value=0.0)
    largest = minutes.to_numpy().argmax(axis=1)
    return minutes.iloc[np.lexsort((-minutes.sum(axis=1).round(9), largest))]


def by_style(clips: pd.DataFrame) -> pd.DataFrame:
    """Clips of each emotion (rows) at each level (columns), unknown ones named so."""
    emotion = clips["emotion"].fillna("unknown").astype(str)
    level = "level " + clips["level"].astype("string")
    counts = pd.crosstab(emotion.to_numpy(), level.fillna("no level").to_numpy())
    counts["all levels"] = counts.sum(axis=1)
    return counts.rename_axis("emotion").rename_axis(columns=None).reset_index()


def folded(reasons: pd.Series) -> pd.Series:
    """Each reason's kind, as long as fits."""
    return reasons.fillna("no reason given").astype(str).map(kind).str.slice(0, REASON)


def rejections(quarantine: pd.DataFrame) -> pd.DataFrame:
    """How many rejections of each kind there were at each stage, most frequent first; columns stage, reason, items."""
    counts = quarantine.assign(reason=folded(quarantine["reason"])).groupby(["stage", "reason"]).size().rename("items")
    return counts.reset_index().sort_values(["items", "stage", "reason"], ascending=[False, True, True])


def _placed(clips: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    table = clips.merge(split[["clip_id", "split"]].reset_index(drop=True), on="clip_id", how="left")
    return table.assign(minutes=seconds(table) / 60)


def _counted(clips: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    table = _placed(clips, split)
    speakers = table.groupby("speaker", sort=True)
    counts = pd.crosstab(table["speaker"], table["split"]).reindex(columns=SPLITS, fill_value=0)
    return pd.concat([speakers.size().rename("clips"), speakers["minutes"].sum(), counts], axis=1)
