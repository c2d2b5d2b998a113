"""What the corpus' tables say about each other, as columns and small tables that the suites can judge."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from stages import tables
from stages.corpus.together import kept_together, styles

PARTS = ("train", "val", "test", "judge")
UNKNOWN_PART = "?"


class Corpus(NamedTuple):
    """All tables of a corpus, each with the columns of its schema in stages/tables.py."""

    sources: pd.DataFrame
    clips: pd.DataFrame
    quarantine: pd.DataFrame
    split: pd.DataFrame


MAY_BE_NULL = Corpus(
    ("emotion", "level", "path", "audio_path", "start_s", "end_s", "face", "window", "zoom", "bytes", "sha256",
     "audio_sha256", "reason"),
    ("emotion", "level", "window", "reason"),
    ("corpus", "speaker", "emotion", "level", "start_s", "end_s"),
    ("emotion", "level"),
)  # fmt: skip
SCHEMAS = Corpus(tables.SOURCES, tables.CLIPS, tables.QUARANTINE, tables.SPLIT)


def files(raw: Path, clips: Path, split: Path) -> Corpus:
    """Where the tables lie, in Corpus' order."""
    return Corpus(raw / "sources.parquet", clips / "clips.parquet", clips / "quarantine.parquet", split)


def related(corpus: Corpus) -> Corpus:
    """The tables with columns added that say how their rows fit together."""
    sources, clips, quarantine, split = corpus
    items = tables.item_of(clips["clip_id"])
    first = clips.drop_duplicates("clip_id").set_index("clip_id")
    speaker = first["speaker"]
    seconds = clips["frames"] / clips["fps"]
    return Corpus(
        sources.assign(
            missing=_missing(sources, MAY_BE_NULL.sources),
            has_file=(sources["status"] != "ok") | sources[["path", "bytes", "sha256"]].notna().all(axis=1),
            has_sum=sources["audio_path"].isna() | sources["audio_sha256"].notna(),
            has_reason=(sources["status"] != "failed") | sources["reason"].notna(),
            accounted_for=sources["item_id"].isin(items) | sources["item_id"].isin(quarantine["item_id"]),
            forward=sources["start_s"].fillna(0) < sources["end_s"].fillna(np.inf),
            face_is_a_box=_lists(sources["face"], lambda x: (x[:, :2] < x[:, 2:]).all(1)),
            window_is_a_box=_lists(sources["window"], lambda x: (x[:, 2:] > 0).all(1)),
        ),
        clips.assign(
            missing=_missing(clips, MAY_BE_NULL.clips),
            av_gap_s=(clips["audio_s"] - seconds).abs().round(4),
            span_gap_s=(clips["end_s"] - clips["start_s"] - seconds).abs().round(4),
            forward=clips["end_s"] > clips["start_s"],
            from_item=items.isin(sources.loc[sources["status"] == "ok", "item_id"]),
            times_in_split=clips["clip_id"].map(split["clip_id"].value_counts()).fillna(0).astype(int),
        ),
        quarantine.assign(
            missing=_missing(quarantine, MAY_BE_NULL.quarantine),
            of_item=quarantine["item_id"].isin(sources["item_id"]),
        ),
        split.assign(
            missing=_missing(split, MAY_BE_NULL.split),
            is_clip=split["clip_id"].isin(first.index),
            labels_agree=_labels(split) == split["clip_id"].map(_labels(first)),
            portrait_is_theirs=split["portrait_clip_id"].map(speaker) == split["clip_id"].map(speaker),
            other_audio_is_clip=split["other_audio_clip_id"].isin(first.index),
        ),
    )


def parts_of(split: pd.DataFrame, owner: pd.Series) -> pd.DataFrame:
    """For each value of `owner` (one for each row of `split`), the parts that its clips are in: "train", "train+val".

    Returns:
        Columns owner, parts.
    """
    bits = split["split"].map({part: 1 << place for place, part in enumerate(PARTS)}).fillna(1 << len(PARTS))
    found = pd.DataFrame({"owner": owner.to_numpy(), "bits": bits.astype(int).to_numpy()}).drop_duplicates()
    masks = found.groupby("owner", sort=True)["bits"].sum()
    return pd.DataFrame({"owner": masks.index, "parts": masks.map(_parts_named).to_numpy()})


def owners(split: pd.DataFrame, clips: pd.DataFrame, protocol: str) -> pd.Series:
    """For each row of `split`, what its clip must not be parted from; see together.py."""
    named = kept_together(clips, protocol)
    named.index = clips["clip_id"]
    return split["clip_id"].map(named[~named.index.duplicated()]).fillna(split["clip_id"])


def style_counts(clips: pd.DataFrame) -> pd.DataFrame:
    """Columns style, clips: how many clips each style group has whose emotion is known."""
    counts = styles(clips[clips["emotion"].notna()]).value_counts().sort_index()
    return counts.rename_axis("style").reset_index(name="clips")


def part_counts(split: pd.DataFrame) -> pd.DataFrame:
    """Columns part, clips: how many clips there are to train on, to validate on and to test on."""
    counts = split["split"].value_counts().reindex(["train", "val", "test"], fill_value=0)
    return counts.rename_axis("part").reset_index(name="clips")


def _missing(frame: pd.DataFrame, may_be_null: tuple[str, ...]) -> pd.Series:
    """For each row the names of the columns that must have a value and have none."""
    nulls = frame[[name for name in frame.columns if name not in may_be_null]].isna()
    result = pd.Series("", index=frame.index, dtype=object)
    for name in nulls.columns[nulls.any()]:
        result[nulls[name]] += f"{name} "
    return result.str.strip()


def _parts_named(mask: int) -> str:
    return "+".join(part for place, part in enumerate((*PARTS, UNKNOWN_PART)) if mask >> place & 1)


def _labels(frame: pd.DataFrame) -> pd.Series:
    level = frame["level"].astype("string").fillna("")
    return frame["speaker"].fillna("") + "\t" + frame["emotion"].fillna("") + "\t" + level


def _lists(column: pd.Series, holds: object) -> pd.Series:
    """Whether a column of lists of four numbers is null, or has four finite ones for which `holds` is true."""
    good = column.isna()
    four = column[~good & (column.str.len() == 4)]
    if len(four):
        values = np.array(four.tolist(), dtype=float)
        good[four.index] = np.isfinite(values).all(1) & holds(values)
    return good
