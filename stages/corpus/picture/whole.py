"""The whole picture of a corpus, drawn into a folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from stages import plots
from stages.corpus.media import Clips
from stages.corpus.picture import figures, numbers, sheets
from stages.params import Crop


@dataclass(frozen=True)
class Picture:
    """What the macros of picture.html.j2 show.

    Attributes:
        facts, fates: see numbers.py.
        by_speaker, rejections: tables; see numbers.py.
        figures: by name, as plots.save leaves them; "styles" only where emotions are known, "rejections" only where
            something was rejected.
        sheets: pictures of sampled clips, "accepted", and of "rejected" ones where there are any, as one file each.
    """

    facts: dict[str, float]
    fates: dict[str, int]
    by_speaker: pd.DataFrame
    rejections: pd.DataFrame
    figures: dict[str, Path]
    accepted: list[sheets.Tile]
    rejected: list[sheets.Rejected]
    sheets: dict[str, Path]

    @property
    def items(self) -> int:
        """How many items came in."""
        return sum(self.fates[name] for name in ("gave clips", "gave none", "could not be read"))


def draw(clips: Clips, quarantine: pd.DataFrame, split: pd.DataFrame, crop: Crop, folder: Path) -> Picture:
    """Count, draw and sample a corpus; figures and sheets go to `folder`. Equal arguments give equal bytes.

    Args:
        quarantine: tables.QUARANTINE. split: tables.SPLIT.
    """
    table, styles = clips.table.reset_index(drop=True), numbers.by_style(clips.table)
    fates, rejections = numbers.fates(table, quarantine), numbers.rejections(quarantine)
    drawings = {
        "corpus_items": partial(figures.fates, fates),
        "corpus_speakers": partial(figures.speakers, numbers.minutes_by_speaker(table, split)),
        "corpus_lengths": partial(figures.lengths, numbers.seconds(table), (crop.min_seconds, crop.max_seconds)),
        "corpus_faces": partial(figures.faces, table["face_px"], crop.min_face),
        "corpus_detection": partial(figures.detection, table["detection_rate"], crop.min_detection_rate),
    }
    if table["emotion"].notna().any():
        drawings["corpus_styles"] = partial(figures.styles, styles)
    if len(rejections):
        drawings["corpus_rejections"] = partial(figures.rejections, rejections)
    accepted = sheets.accepted(clips)
    rejected = sheets.rejected(quarantine, sheets.read_thumbnails(clips.folder))
    files = {
        "accepted": sheets.save(accepted, folder / "corpus_accepted.jpg"),
        "rejected": sheets.save([tile for kind in rejected for tile in kind.tiles], folder / "corpus_rejected.jpg"),
    }
    return Picture(
        facts=numbers.facts(table),
        fates=fates,
        by_speaker=numbers.by_speaker(table, split),
        rejections=rejections,
        figures={name.removeprefix("corpus_"): plots.save(make, folder, name) for name, make in drawings.items()},
        accepted=accepted,
        rejected=rejected,
        sheets={name: path for name, path in files.items() if path},
    )
