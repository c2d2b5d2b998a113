"""Stage `crop`: videos -> square clips of one face at a constant rate, their sound, and the landmarks of every frame.

Every item of sources.parquet gives clips, or a row of quarantine.parquet that says why not.
"""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages import columns, shards, tables
from stages import params as parameters
from stages.cluster import ClusterError
from stages.corpus.clip import Reject, crop_item, refusal
from stages.corpus.reasons import kind
from stages.corpus.sync_filter import judge
from stages.corpus.takes import TakeFinder
from stages.files import fresh_dir, sha256
from stages.params import Crop
from stages.program import one_line_errors

RAW, CLIPS, LANDMARKS = Path("data/raw"), Path("data/clips"), Path("data/landmarks")
THUMBNAILS = 12  # pictures kept of each kind of rejection
KILLED = "it killed the process that cropped it: a crash in a decoder, or out of memory"
PLACES = ("path", "audio_path")  # where equal content lies changes nothing
CODE = (  # what decides a shard's bytes; each is named, since a large corpus takes days to crop
    *(f"stages/corpus/{name}.py" for name in ("crop", "clip", "decode", "encode", "faces", "gaps", "shots")),
    *(f"stages/corpus/{name}.py" for name in ("sync_filter", "takes", "thumbnails", "windows")),
    *(f"dreamtalk_models/{name}.py" for name in ("checkpoints", "published", "syncnet")),
    "stages/evaluation/metrics/lip_sync.py",
    "stages/features/sync_inputs.py",
)
TAR, ARROW, ROWS = "clips.tar", "landmarks.arrow", "rows.json"
DIED = "died"  # marks the shard of an item that killed its process: the machine may have been short of memory


def jobs(sources: pd.DataFrame, crop: Crop) -> tuple[list[tuple], list[str]]:
    """Work for :func:`crop_shard`, one of the items that ingest found good in each, and the shards' keys.

    An item is the unit of work, so that a video more costs its own time only, and a killed run loses little.
    """
    items = tables.rows(sources[sources["status"] == "ok"].sort_values("item_id"), tables.SOURCES)
    settings = crop.model_dump(exclude={"shard_clips"})
    network = None if crop.sync.weights is None else sha256(Path(crop.sync.weights))
    same = (settings, network, shards.code_version(*CODE))
    contents = ({name: value for name, value in item.items() if name not in PLACES} for item in items)
    return [(item, settings) for item in items], [shards.shard_key(content, *same) for content in contents]


def crop_shard(folder: Path, item: dict, settings: dict, alone: bool = False) -> None:
    """Crop an item into `folder`: clips.tar, landmarks.arrow, rows.json.

    Args:
        alone: in a process of its own; an item that kills it is quarantined, for this run.
    """
    crop = Crop.model_validate(settings | {"shard_clips": 1})
    media = folder / "media"
    media.mkdir()
    try:
        clips, rejected, landmarks = (_in_child if alone else _call)(_crop, item, media, crop)
    except BrokenProcessPool:
        shutil.rmtree(media)
        media.mkdir()
        clips, rejected, landmarks = [], [refusal(item, KILLED)], {}
        (folder / DIED).touch()
    columns.write_shard(folder / ARROW, [{"clip_id": key, "landmarks": value} for key, value in landmarks.items()])
    write_tar(folder / TAR, sorted(media.iterdir()))
    shutil.rmtree(media)
    rows = json.dumps({"clips": clips, "quarantine": rejected}, sort_keys=True)
    (folder / ROWS).write_text(rows, encoding="utf-8")


def crop_all(sources: pd.DataFrame, crop: Crop, executor: str = shards.PROCESSES) -> list[Path]:
    """Crop every good item; the shards' folders. An item that kills its worker costs itself, not the run.

    What workers may have died of is tried again with nothing beside it, and so is what died even so in an earlier run.

    Raises:
        OSError, ClusterError: see :func:`stages.shards.run_shards`.
        BrokenProcessPool: a worker died, and not over an item.
    """
    work, keys = jobs(sources, crop)
    weights = [item["bytes"] or 0 for item, _ in work]
    suspects = _forget_dead(keys)
    if suspects:
        print(f"crop: {len(suspects)} items that killed their process in an earlier run are tried again", flush=True)
    while True:
        for job, key in zip(work, keys, strict=True):
            if key in suspects:
                shards.run_shards(crop_shard, [(*job, True)], [key], "crop", tidy=False)
        try:
            return shards.run_shards(crop_shard, work, keys, "crop", executor=executor, isolate=True, weights=weights)
        except BrokenProcessPool:
            suspects = shards.interrupted("crop", keys)
            if not suspects:
                raise
            print(
                f"crop: a worker died; {len(suspects)} items it may have died of are tried here, one after the other",
                flush=True,
            )


def _forget_dead(keys: list[str]) -> list[str]:
    """Remove the shards of items that killed their process; those of `keys`."""
    dead = [key for key in keys if (shards.WORK / "crop" / key / DIED).exists()]
    for key in dead:
        shutil.rmtree(shards.WORK / "crop" / key)
    return dead


def assemble(
    folders: list[Path], sources: pd.DataFrame, clips_dir: Path, landmarks_dir: Path, shard_clips: int
) -> dict[str, float]:
    """Shards' folders -> data/clips and data/landmarks, in files of about `shard_clips` clips; returns counts.

    An item's clips are in one file. Files differ in length, see :func:`_groups`, and none goes on after twice
    `shard_clips`.

    Raises:
        Reject: there is not one clip.
        AssertionError: an item of `sources` has neither a clip nor a reason.
    """
    fresh_dir(clips_dir)
    fresh_dir(landmarks_dir)
    clips, rejected, thumbnails, shown = [], [], [], Counter()
    for number, (group, made, refused) in enumerate(_groups(folders, shard_clips)):
        thumbnails += _thumbnails(refused, shown)
        rejected += refused
        if made:
            name = f"shard-{number:05d}"
            _join(group, clips_dir / f"{name}.tar", landmarks_dir / f"{name}.arrow")
            clips += [row | {"shard": f"{name}.tar"} for row in made]
    failed = tables.rows(sources[sources["status"] != "ok"], tables.SOURCES)
    rejected += [refusal(item, item["reason"]) | {"stage": "ingest"} for item in failed]
    used, refused = {row.pop("item_id") for row in clips}, {row["item_id"] for row in rejected}
    for name, rows, schema in (
        ("clips", clips, tables.CLIPS),
        ("quarantine", rejected, tables.QUARANTINE),
        ("thumbnails", thumbnails, tables.THUMBNAILS),
    ):
        tables.write(tables.from_rows(rows, schema), schema, clips_dir / f"{name}.parquet")
    if not clips:
        first = "".join(f"; {row['source_file']!r} {row['reason']}" for row in rejected[:3])
        raise Reject(f"no video gave a clip: {_summary(rejected)}{first} (all: {clips_dir / 'quarantine.parquet'})")
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


def _groups(folders: list[Path], shard_clips: int) -> Iterator[tuple[list[Path], list[dict], list[dict]]]:
    """Folders that share a file, with their rows of clips and of quarantine.

    Whether a file ends with an item is drawn by the item's name, at odds that make some `shard_clips` clips a file. So
    an item more changes the file that it comes into, and rarely the next. Were clips counted off, it would change all
    files that follow, and `fit` and `audio` would work on them again.
    """
    group, made, refused = [], [], []
    for folder in folders:
        rows = json.loads((folder / ROWS).read_text(encoding="utf-8"))
        made, refused = made + rows["clips"], refused + rows["quarantine"]
        if rows["clips"]:
            group.append(folder)
        if _ends_file(rows["clips"], shard_clips) or len(made) >= 2 * shard_clips:
            yield group, made, refused
            group, made, refused = [], [], []
    yield group, made, refused


def _ends_file(clips: list[dict], shard_clips: int) -> bool:
    if not clips:
        return False
    drawn = int.from_bytes(hashlib.sha256(clips[0]["item_id"].encode()).digest()[:8]) / 2**64
    return drawn * shard_clips < len(clips)


def check_weights(crop: Crop) -> None:
    """Raise Reject if the sync filter's network cannot be used: one line now, not a reason for every clip."""
    if crop.sync.weights is not None:
        try:
            judge(crop.sync.weights)
        except ValueError as error:
            raise Reject(f"crop.sync.weights: {error}") from error


@one_line_errors("crop", Reject, ClusterError)
def main() -> None:
    from stages import tracking  # not above: every worker imports this module, and MLflow takes as long as all the rest

    params = parameters.load()
    sources = tables.read(RAW / "sources.parquet")
    check_weights(params.crop)
    with shards.alone("crop"), tracking.stage_run("crop", params, ["crop"]) as run:
        folders = crop_all(sources, params.crop, params.executor)
        counts = assemble(folders, sources, CLIPS, LANDMARKS, params.crop.shard_clips)
        clips, quarantine = tables.read(CLIPS / "clips.parquet"), tables.read(CLIPS / "quarantine.parquet")
        print(f"crop: {len(clips)} clips of {counts['items']} items; {_summary(quarantine.to_dict('records'))}")
        run.summary(counts)
        run.dataset("clips", clips, CLIPS / "clips.parquet")
        if len(quarantine):
            run.table("quarantine", quarantine)


def _crop(item: dict, media: Path, crop: Crop) -> tuple:
    return crop_item(item, media, crop, _finder(crop))


@lru_cache(maxsize=1)
def _finder(crop: Crop) -> TakeFinder:
    """One in a process: its networks take half a second to load."""
    return TakeFinder(crop)


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _thumbnails(rejected: list[dict], shown: Counter[str]) -> Iterator[dict]:
    """Rows of tables.THUMBNAILS for the first few of each kind of reason; takes the pictures out of `rejected`."""
    for row in rejected:
        shown[same := kind(row["reason"])] += 1
        jpeg = row.pop("jpeg")
        if shown[same] <= THUMBNAILS:
            picture = base64.b64decode(jpeg) if jpeg else None
            yield {name: row[name] for name in ("item_id", "start_s", "reason")} | {"jpeg": picture}


def _summary(rejected: list[dict]) -> str:
    """Kinds of reasons and how often."""
    reasons = Counter(kind(row["reason"]) for row in rejected)
    counted = ", ".join(f"{count} x {reason!r}" for reason, count in reasons.most_common())
    return f"{len(rejected)} rejected" + (f" ({counted})" if rejected else "")


def write_tar(path: Path, members: list[Path]) -> None:
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
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=shards.obey) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    main()
