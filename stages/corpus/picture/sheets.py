"""Contact sheets: clips across speakers and styles, and what was rejected, by its reason."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from stages import tables
from stages.corpus.media import DAMAGE, Clips
from stages.corpus.picture.numbers import folded, rejections
from stages.tables import EMOTIONS

ACCEPTED = 40  # pictures
REASONS = 12  # kinds of rejection that are shown, most frequent first
EACH = 8  # pictures of one kind
PX = 128
GAP = 6


@dataclass(frozen=True)
class Tile:
    """A small picture and the lines below it; without a picture, where there is none to show.

    Attributes:
        name: of the clip or the item.
        jpeg: the picture's bytes, or None.
    """

    name: str
    title: str
    caption: str
    jpeg: bytes | None


@dataclass(frozen=True)
class Rejected:
    """One kind of rejection, how often it happened, and some that it happened to."""

    reason: str
    stage: str
    items: int
    tiles: list[Tile]


def sample(clips: pd.DataFrame, count: int = ACCEPTED) -> pd.DataFrame:
    """At most `count` clips of as many speakers as can be, then emotions, then videos; strong levels first.

    Args:
        clips: clip_id, speaker, emotion, level, source_file; in any order.

    Returns:
        Rows of `clips`, by speaker and emotion.
    """
    order = {emotion: place for place, emotion in enumerate(EMOTIONS)}
    table = clips.assign(place=clips["emotion"].map(order).fillna(len(order)).astype(int)).reset_index(drop=True)
    speakers = np.array(sorted(table["speaker"].dropna().unique()))
    chosen = speakers[np.unique(np.linspace(0, len(speakers) - 1, min(count, len(speakers))).astype(int))]
    table = table[table["speaker"].isin(chosen)].sort_values(["level", "clip_id"], ascending=[False, True])
    table["again"] = table.groupby(["speaker", "place"]).cumcount()
    table["piece"] = table.groupby(["speaker", "source_file"], dropna=False).cumcount()
    number = table["speaker"].map({speaker: place for place, speaker in enumerate(chosen)})
    table["turn"] = (table["place"] - number) % (len(order) + 1)  # another emotion first for each speaker
    table = table.sort_values(["speaker", "again", "piece", "turn", "clip_id"])
    table["turn"] = table.groupby("speaker").cumcount()
    return table.sort_values(["turn", "speaker"]).head(count).sort_values(["speaker", "place", "clip_id"])


def accepted(clips: Clips) -> list[Tile]:
    """The middle frame of sampled clips."""
    return [
        Tile(row.clip_id, row.speaker, _style(row.emotion, row.level), _middle(clips, row.clip_id))
        for row in sample(clips.table).itertuples()
    ]


def rejected(quarantine: pd.DataFrame, thumbnails: pd.DataFrame) -> list[Rejected]:
    """The most frequent kinds of rejection with pictures of them.

    Args:
        quarantine: tables.QUARANTINE. thumbnails: tables.THUMBNAILS, empty where none were kept.
    """
    by_reason = dict(tuple(thumbnails.assign(kind=folded(thumbnails["reason"])).groupby("kind")))
    found = []
    for stage, reason, items in rejections(quarantine).head(REASONS).itertuples(index=False):
        rows = by_reason.get(reason, thumbnails).head(EACH if reason in by_reason else 0)
        tiles = [Tile(row.item_id, row.item_id, _when(row.start_s), row.jpeg) for row in rows.itertuples()]
        found.append(Rejected(reason, stage, items, tiles))
    return found


def read_thumbnails(folder: Path) -> pd.DataFrame:
    """tables.THUMBNAILS of a folder of clips; empty where there are none."""
    path = folder / "thumbnails.parquet"
    return tables.read(path) if path.is_file() else tables.from_rows([], tables.THUMBNAILS)


def save(tiles: Sequence[Tile], path: Path, columns: int = 8) -> Path | None:
    """Write the tiles that have pictures as one JPEG, row by row; None if none has."""
    pictures = [picture for tile in tiles if (picture := _opened(tile.jpeg))]
    if not pictures:
        return None
    step, rows = PX + GAP, -(-len(pictures) // columns)
    sheet = Image.new("RGB", (min(columns, len(pictures)) * step - GAP, rows * step - GAP), "white")
    for place, picture in enumerate(pictures):
        picture.thumbnail((PX, PX))
        sheet.paste(picture, (place % columns * step, place // columns * step))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=85)
    return path


def _opened(jpeg: bytes | None) -> Image.Image | None:
    try:
        return Image.open(io.BytesIO(jpeg)).convert("RGB") if jpeg else None
    except OSError:
        return None


def _middle(clips: Clips, clip_id: str) -> bytes | None:
    """JPEG of a clip's middle frame, or None where it cannot be decoded: the contracts say so."""
    try:
        frame = clips.frames(clip_id, [int(clips.table.loc[clip_id, "frames"]) // 2])[0]
    except DAMAGE:
        return None
    buffer = io.BytesIO()
    picture = Image.fromarray(frame)
    picture.thumbnail((PX, PX))
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def _style(emotion: object, level: object) -> str:
    if pd.isna(emotion):
        return "unknown"
    return str(emotion) if pd.isna(level) or emotion == "neutral" else f"{emotion} {int(level)}"


def _when(start_s: float) -> str:
    return "" if pd.isna(start_s) else f"from {start_s:.1f} s"
