"""What the corpus is: how many clips of whom, in which styles, how long, and what was rejected for what."""

from __future__ import annotations

import numpy as np
import pandas as pd

SPLITS = ("train", "val", "test", "judge")
FIT_COLUMNS = {
    "fit_rmse_px": "fit error, px",
    "jitter_px": "jitter of the fit in a still face, px",
    "landmark_jitter_px": "jitter of the landmarks, px",
    "mouth_velocity": "speed of the lips that is kept",
    "identity_gap": "identity, first half against second, deviations over speakers",
    "filled_frames": "frames without a face",
    "failed_frames": "frames whose fit failed",
}


def by_speaker(clips: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Rows per speaker, and a last row of all: clips, minutes, and clips in each part of the split.

    Args:
        clips: tables.CLIPS. split: tables.SPLIT.
    """
    table = clips.merge(split[["clip_id", "split"]].reset_index(drop=True), on="clip_id", how="left")
    table["minutes"] = table["frames"] / table["fps"] / 60
    speakers = table.groupby("speaker", sort=True)
    counts = pd.crosstab(table["speaker"], table["split"]).reindex(columns=SPLITS, fill_value=0)
    result = pd.concat([speakers.size().rename("clips"), speakers["minutes"].sum(), counts], axis=1)
    result.loc["all"] = result.sum()
    return result.rename_axis("speaker").reset_index().astype(dict.fromkeys(("clips", *SPLITS), int))


def by_style(clips: pd.DataFrame) -> pd.DataFrame:
    """Clips of each emotion (rows) at each level (columns), unknown ones named so."""
    emotion = clips["emotion"].fillna("unknown").astype(str)
    level = clips["level"].map(lambda value: "no level" if pd.isna(value) else f"level {int(value)}")
    counts = pd.crosstab(emotion, level)
    counts["all levels"] = counts.sum(axis=1)
    return counts.rename_axis("emotion").reset_index()


def rejections(quarantine: pd.DataFrame) -> pd.DataFrame:
    """How many items each stage rejected, by reason; numbers in a reason are put together as "…"."""
    reason = quarantine["reason"].fillna("no reason given").astype(str).str.replace(r"\d+(\.\d+)?", "…", regex=True)
    counts = quarantine.assign(reason=reason).groupby(["stage", "reason"]).size().rename("items")
    return counts.reset_index().sort_values(["items", "stage", "reason"], ascending=[False, True, True])


def facts(clips: pd.DataFrame) -> dict[str, float]:
    """Totals: clips, speakers, styles (speaker × emotion × level), hours, shortest, median and longest clip in s, and
    the mean and the least share of frames in which a face was found."""
    seconds = (clips["frames"] / clips["fps"]).to_numpy(float)
    return {
        "clips": len(clips),
        "speakers": clips["speaker"].nunique(),
        "styles": len(clips.drop_duplicates(["speaker", "emotion", "level"])),
        "hours": seconds.sum() / 3600,
        "shortest_s": seconds.min(),
        "median_s": float(np.median(seconds)),
        "longest_s": seconds.max(),
        "detection_mean": clips["detection_rate"].mean(),
        "detection_least": clips["detection_rate"].min(),
    }


def fits(table: pd.DataFrame) -> pd.DataFrame:
    """Median, least and greatest over clips of what motion.parquet says of each clip's fit; empty where it says
    nothing, as of imported coefficients."""
    rows = [
        {"per clip": label, **{name: getattr(table[column].astype(float), name)() for name in ("median", "min", "max")}}
        for column, label in FIT_COLUMNS.items()
        if table[column].notna().any()
    ]
    return pd.DataFrame(rows).round(3)


def explained(shares: dict[str, float]) -> pd.DataFrame:
    """The face model's share of the variance of expression, by whose: "explained/<who>/<where>" → a table."""
    places = sorted({name.split("/")[2] for name in shares})
    names = {"train": "speakers it was learned from", "held_out": "held-out speakers"}
    rows = [
        {"share of the variance explained": label} | {place: shares[f"explained/{who}/{place}"] for place in places}
        for who, label in names.items()
        if f"explained/{who}/all" in shares
    ]
    return pd.DataFrame(rows).round(3)
