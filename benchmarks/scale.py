"""What a corpus of 100,000 items costs beyond its videos: planning, status, resume, assembly, split, contracts.

    python -m benchmarks.scale [--items 100000] [--clips-per-file 512]

The tables are synthetic; every shard holds one tiny clip. Prints seconds, peak memory and the number of output files,
and the share of the limits: 60 s for planning, status, resume and contracts together, 2 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from stages.corpus.contracts import check_tables

from stages import columns, shards, tables
from stages import params as parameters
from stages.corpus import crop
from stages.corpus.clip import origin
from stages.corpus.split import split

LIMIT_S, LIMIT_GB = 60.0, 2.0
FRAMES = 100
spent: dict[str, float] = {}


@contextmanager
def timed(name: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    spent[name] = time.monotonic() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{name}: {spent[name]:.1f} s, peak memory so far {memory:.2f} GB", flush=True)


def sources(count: int) -> pd.DataFrame:
    """Items as ingest lists them: 50 speakers, 22 styles, one in a hundred failed."""
    number = np.arange(count)
    emotions = np.array(tables.EMOTIONS)[number % 8]
    ids = np.char.mod("clip_%06d", number)
    failed = number % 100 == 99
    return pd.DataFrame(
        {
            **dict.fromkeys(tables.SOURCES.names),
            "item_id": ids,
            "corpus": "synthetic",
            "speaker": np.char.mod("M%03d", number // 8 % 50),
            "emotion": emotions,
            "level": np.where(emotions == "neutral", 1, 1 + number // 400 % 3),
            "path": np.where(failed, None, np.char.add(ids, ".mp4").astype(object)),
            "origin": np.char.add(ids, ".mp4"),
            "bytes": 1000 + number,
            "sha256": ids,
            "status": np.where(failed, "failed", "ok"),
            "reason": np.where(failed, "is empty (zero bytes)", None),
        }
    )


def finish(folder: Path, item: dict, settings: dict) -> None:
    """What crop_shard leaves of an item, with a clip of a few bytes."""
    row = {
        "clip_id": item["item_id"],
        **origin(item),
        "start_s": 0.0,
        "end_s": FRAMES / 25,
        "frames": FRAMES,
        "fps": 25.0,
        "window": [0.0, 0.0, 256.0],
        "width": settings["size"],
        "height": settings["size"],
        "audio_rate": 16000,
        "audio_s": FRAMES / 25,
        "face_px": 150.0,
        "detection_rate": 1.0,
        "sha256": item["sha256"],
        "status": "ok",
        "reason": None,
    }
    media = folder.with_name("media")
    media.mkdir(parents=True, exist_ok=True)
    for suffix in ("mp4", "wav"):
        (media / f"{item['item_id']}.{suffix}").write_bytes(b"x" * 100)
    folder.mkdir(parents=True)
    crop.write_tar(folder / crop.TAR, sorted(media.iterdir()))
    for path in media.iterdir():
        path.unlink()
    landmarks = {"clip_id": item["item_id"], "landmarks": np.zeros((1, 478 * 3), np.float32)}
    columns.write_shard(folder / crop.ARROW, [landmarks])
    (folder / crop.ROWS).write_text(json.dumps({"clips": [row], "quarantine": []}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--clips-per-file", type=int, default=512)
    arguments = parser.parse_args()
    params = parameters.load()
    settings = params.crop.model_copy(update={"shard_clips": arguments.clips_per_file})
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        table, raw, clips, landmarks = sources(arguments.items), Path("raw"), Path("clips"), Path("landmarks")
        raw.mkdir()
        with timed("planning"):
            tables.write(
                tables.from_rows(tables.rows(table, tables.SOURCES), tables.SOURCES),
                tables.SOURCES,
                raw / "sources.parquet",
            )
            table = tables.read(raw / "sources.parquet")
            work, keys = crop.jobs(table, settings)
        print("making what workers would have made ...", flush=True)
        for (item, given), key in zip(work, keys, strict=True):
            finish(Path(".work/crop") / key, item, given)
        with timed("status and resume"):
            folders = shards.run_shards(crop.crop_shard, work, keys, "crop", isolate=True)
        with timed("assembly"):
            crop.assemble(folders, table, clips, landmarks, settings.shard_clips)
        with timed("split"):
            parts, _ = split(tables.read(clips / "clips.parquet"), params.split, params.seed)
            tables.write(parts, tables.SPLIT, Path("split.parquet"))
        with timed("contracts"):
            checks = check_tables(raw, clips, Path("split.parquet"), params)
        files = len([path for folder in (raw, clips, landmarks) for path in folder.iterdir()])
    counted = sum(spent[name] for name in ("planning", "status and resume", "contracts"))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{arguments.items} items: planning, status, resume and contracts {counted:.1f} s ({counted / LIMIT_S:.0%} of "
        f"{LIMIT_S:.0f} s), peak memory {memory:.2f} GB ({memory / LIMIT_GB:.0%} of {LIMIT_GB:.0f} GB), {files} files, "
        f"{sum(not check.kept for check in checks)} contracts broken"
    )


if __name__ == "__main__":
    main()
