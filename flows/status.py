"""How far the corpus is: items found, videos cropped, clips kept and refused."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from stages import params as parameters
from stages import shards, tables
from stages.corpus import crop
from stages.corpus.reasons import kind

REASONS = 5


def rows() -> list[tuple[str, str]]:
    """What is known of each step, from the repository's root; a step that has not begun says what begins it.

    Raises:
        ParamsError: params.yaml is wrong.
    """
    params = parameters.load()
    listed = crop.RAW / "sources.parquet"
    if not listed.exists():
        return [("sources", "not listed yet: `dvc repro ingest`")]
    sources = tables.read(listed)
    failed = int((sources["status"] != "ok").sum())
    _, keys = crop.jobs(sources, params.crop)
    done = sum((shards.WORK / "crop" / key).exists() for key in keys)
    found = [
        ("sources", f"{len(sources)} items of {params.ingest.source}, {failed} failed"),
        ("crop", f"{done} of {len(keys)} videos are done under the present parameters"),
    ]
    return found + _clips(crop.CLIPS)


def _clips(folder: Path) -> list[tuple[str, str]]:
    if not (folder / "clips.parquet").exists():
        return [("clips", "none yet: `dvc repro validate`")]
    clips, quarantine = tables.read(folder / "clips.parquet"), tables.read(folder / "quarantine.parquet")
    hours = (clips["frames"] / clips["fps"]).sum() / 3600
    kinds = quarantine["reason"].map(kind).value_counts()
    reasons = [("", f"{count} x {reason}") for reason, count in kinds.head(REASONS).items()]
    kept = f"{len(clips)} clips of {clips['speaker'].nunique()} speakers, {hours:.2f} h"
    return [("clips", kept), ("quarantine", f"{len(quarantine)} refused"), *reasons]


def table(found: list[tuple[str, str]]) -> Table:
    result = Table("step", "state", title="dreamtalk status", title_justify="left")
    for row in found:
        result.add_row(*row)
    return result
