"""Stage `crop`: videos -> square clips of one face at a constant rate, their sound, and the landmarks of every frame.

Every item of sources.parquet gives clips, or a row of quarantine.parquet that says why not.
"""

from __future__ import annotations

import base64
import json
import multiprocessing
import re
import tarfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages import columns, shards, tables
from stages import params as parameters
from stages.corpus.clip import Reject, crop_item, refusal
from stages.corpus.takes import TakeFinder
from stages.files import fresh_dir
from stages.params import Crop
from stages.program import one_line_errors

RAW, CLIPS, LANDMARKS = Path("data/raw"), Path("data/clips"), Path("data/landmarks")
UNIT = 8  # items in one piece of work: what a killed run loses, and what a small corpus is spread by
THUMBNAILS = 12  # pictures kept of each kind of rejection
KILLED = "it killed the process that cropped it: a crash in a decoder, or out of memory"
PLACES = ("path", "audio_path")  # where equal content lies changes nothing
TAR, ARROW, ROWS = "clips.tar", "landmarks.arrow", "rows.json"


def jobs(sources: pd.DataFrame, crop: Crop) -> tuple[list[tuple], list[str]]:
    """Work for :func:`crop_unit`, a few of the items that ingest found good in each, and the units' keys."""
    items = tables.rows(sources[sources["status"] == "ok"].sort_values("item_id"), tables.SOURCES)
    parts = shards.split_in_shards(items, UNIT)
    settings = crop.model_dump(exclude={"shard_clips"})
    version = shards.code_version(Path(__file__).parent)
    contents = [[{k: v for k, v in item.items() if k not in PLACES} for item in part] for part in parts]
    return [(part, settings) for part in parts], [shards.shard_key(c, settings, version) for c in contents]


def crop_unit(folder: Path, items: list[dict], settings: dict, alone: bool = False) -> None:
    """Crop a few items into `folder`: clips.tar, landmarks.arrow, rows.json.

    Args:
        alone: give each item a process of its own, so that one which kills its process is quarantined.
    """
    crop = Crop.model_validate(settings | {"shard_clips": len(items)})
    media = fresh_dir(folder / "media")
    clips, rejected, landmarks = [], [], {}
    with TakeFinder(crop) as finder:
        for item in items:
            try:
                if alone:
                    made, refused, found = _in_child(_crop_alone, item, media, crop)
                else:
                    made, refused, found = crop_item(item, media, crop, finder)
            except BrokenProcessPool:
                for leftover in media.glob(f"{item['item_id']}_p[0-9][0-9]*"):
                    leftover.unlink()
                made, refused, found = [], [refusal(item, KILLED)], {}
            clips, rejected, landmarks = clips + made, rejected + refused, landmarks | found
    columns.write_shard(folder / ARROW, [{"clip_id": key, "landmarks": value} for key, value in landmarks.items()])
    _write_tar(folder / TAR, sorted(media.iterdir()))
    for path in media.iterdir():
        path.unlink()
    media.rmdir()
    rows = json.dumps({"clips": clips, "quarantine": rejected}, sort_keys=True)
    (folder / ROWS).write_text(rows, encoding="utf-8")


def assemble(
    folders: list[Path], sources: pd.DataFrame, clips_dir: Path, landmarks_dir: Path, shard_clips: int
) -> dict[str, float]:
    """Units' folders -> data/clips and data/landmarks, in shards of about `shard_clips` clips; returns counts.

    Raises:
        Reject: there is not one clip.
        AssertionError: an item of `sources` has neither a clip nor a reason.
    """
    fresh_dir(clips_dir)
    fresh_dir(landmarks_dir)
    clips, rejected = [], []
    for group in shards.split_in_shards(folders, max(1, shard_clips // UNIT)):
        found = [json.loads((folder / ROWS).read_text(encoding="utf-8")) for folder in group]
        rejected += [row for rows in found for row in rows["quarantine"]]
        made = [row for rows in found for row in rows["clips"]]
        if made:
            name = f"shard-{len(list(clips_dir.glob('*.tar'))):05d}"
            _join(group, clips_dir / f"{name}.tar", landmarks_dir / f"{name}.arrow")
            clips += [row | {"shard": f"{name}.tar"} for row in made]
    for item in tables.rows(sources[sources["status"] != "ok"], tables.SOURCES):
        rejected.append(refusal(item, item["reason"]) | {"stage": "ingest"})
    if not clips:
        raise Reject("no video gave a clip: " + _summary(rejected))
    used, refused = {row.pop("item_id") for row in clips}, {row["item_id"] for row in rejected}
    for name, rows, schema in (
        ("clips", clips, tables.CLIPS),
        ("quarantine", rejected, tables.QUARANTINE),
        ("thumbnails", _thumbnails(rejected), tables.THUMBNAILS),
    ):
        tables.write(tables.from_rows(rows, schema), schema, clips_dir / f"{name}.parquet")
    if used | refused != set(sources["item_id"]):
        raise AssertionError(
            f"items without a clip or a reason: {sorted(set(sources['item_id']) - used - refused)[:5]}"
        )
    return {
        "items": len(sources),
        "items_without_clip": len(refused - used),
        "clips": len(clips),
        "quarantined": len(rejected),
        "seconds": sum(row["frames"] / row["fps"] for row in clips),
        "detection_rate": float(np.mean([row["detection_rate"] for row in clips])),
    }


def crop_all(sources: pd.DataFrame, crop: Crop) -> list[Path]:
    """Crop every good item; the shards' folders. A worker that dies costs its item, not the run."""
    work, keys = jobs(sources, crop)
    try:
        folders = shards.run_shards(crop_unit, work, keys, "crop", isolate=True)
    except BrokenProcessPool:
        print("crop: a worker process died; going on with a process for every item", flush=True)
        folders = shards.run_shards(crop_unit, [(*job, True) for job in work], keys, "crop")
    return folders


@one_line_errors("crop", Reject)
def main() -> None:
    from stages import tracking  # not above: every worker imports this module, and MLflow takes as long as all the rest

    params = parameters.load()
    sources = tables.read(RAW / "sources.parquet")
    with tracking.stage_run("crop", params, ["crop"]) as run:
        folders = crop_all(sources, params.crop)
        counts = assemble(folders, sources, CLIPS, LANDMARKS, params.crop.shard_clips)
        clips, quarantine = tables.read(CLIPS / "clips.parquet"), tables.read(CLIPS / "quarantine.parquet")
        print(f"crop: {len(clips)} clips of {counts['items']} items; {_summary(quarantine.to_dict('records'))}")
        run.summary(counts)
        run.dataset("clips", clips, CLIPS / "clips.parquet")
        if len(quarantine):
            run.table("quarantine", quarantine)


def _crop_alone(item: dict, media: Path, crop: Crop) -> tuple:
    with TakeFinder(crop) as finder:
        return crop_item(item, media, crop, finder)


def _thumbnails(rejected: list[dict]) -> list[dict]:
    """Rows of tables.THUMBNAILS: of each kind of reason, the first few in order of the items' names."""
    shown: Counter[str] = Counter()
    chosen = []
    for row in sorted(rejected, key=lambda row: (row["item_id"], row["start_s"] or 0.0)):
        shown[kind := _kind(row["reason"])] += 1
        if shown[kind] <= THUMBNAILS:
            jpeg = base64.b64decode(row["jpeg"]) if row["jpeg"] else None
            chosen.append({name: row[name] for name in ("item_id", "start_s", "reason")} | {"jpeg": jpeg})
    return chosen


def _kind(reason: str) -> str:
    """A reason without its numbers and details."""
    return re.sub(r"\d[\d.]*", "#", re.split(r"[:,]", reason)[0])


def _summary(rejected: list[dict]) -> str:
    """Reasons and how often, the numbers in them left out."""
    reasons = Counter(_kind(row["reason"]) for row in rejected)
    counted = ", ".join(f"{count} x {reason!r}" for reason, count in reasons.most_common())
    return f"{len(rejected)} rejected" + (f" ({counted})" if rejected else "")


def _write_tar(path: Path, members: list[Path]) -> None:
    """An uncompressed USTAR of the files' contents alone: no time, owner or mode."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.size = member.stat().st_size
            with member.open("rb") as file:
                tar.addfile(info, file)


def _join(folders: list[Path], tar_path: Path, arrow_path: Path) -> None:
    with tarfile.open(tar_path, "w", format=tarfile.USTAR_FORMAT) as joined:
        for folder in folders:
            with tarfile.open(folder / TAR, "r:") as tar:
                for member in tar:
                    joined.addfile(member, tar.extractfile(member))
    rows = [{"clip_id": clip_id, **values} for folder in folders for clip_id, values in columns.Columns(folder).items()]
    columns.write_shard(arrow_path, rows)


def _in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call in a process of its own.

    Raises:
        BrokenProcessPool: the process died.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    main()
