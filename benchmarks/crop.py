"""What `crop` and `fit` cost beyond what they cannot do without, and what a second process gains.

    python -m benchmarks.crop VIDEO [VIDEO ...]

For each video with a face and sound, on one core: frames a second of a bare loop that only decodes (decord) and runs
FaceMesh over the same frames, of crop and fit together, and the ratio of the two (1: they cost nothing more). Then the
time that one process takes for all videos, eight times over, against that of two; mediapipe keeps some of a second core
busy where it may. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import decord
import numpy as np
import torch
from mediapipe.python.solutions.face_mesh import FaceMesh

from benchmarks.fit import random_model
from stages import params as parameters
from stages import shards, tables
from stages.corpus.clip import crop_item
from stages.corpus.crop import crop_all
from stages.corpus.takes import TakeFinder
from stages.features.fit import fit_landmarks
from stages.files import quoted

TURNS = 8  # each video so often: start-up is no part of the question


@contextmanager
def one_core():
    """This process, and the threads that it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def bare(path: Path) -> tuple[int, float]:
    """Frames, and processor seconds for decoding them and finding their landmarks."""
    with FaceMesh(refine_landmarks=True) as mesh:
        mesh.process(np.zeros((16, 16, 3), np.uint8))
        start = time.process_time()
        reader = decord.VideoReader(str(path), num_threads=1)
        for _ in range(len(reader)):
            mesh.process(reader.next().asnumpy())
        return len(reader), time.process_time() - start


def ours(path: Path, params: parameters.Params, finder: TakeFinder) -> tuple[int, float, str]:
    """Frames, and processor seconds for cropping a video and fitting its clips; what came of it."""
    model = random_model(params.face_model.expression_dim)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        clips, rejected, landmarks = crop_item(item(path, "clip"), Path(folder), params.crop, finder)
        for points in landmarks.values():
            fit_landmarks(model, points.reshape(len(points), -1, 3), params.fit)
        seconds = time.process_time() - start
    reasons = "".join(f"; {row['reason']}" for row in rejected)
    return sum(row["frames"] for row in clips), seconds, f"{len(clips)} clips{reasons}"


def item(path: Path, name: str) -> dict:
    return dict.fromkeys(tables.SOURCES.names) | {
        "item_id": name,
        "origin": path.name,
        "path": quoted(path.resolve()),
        "bytes": path.stat().st_size,
        "sha256": name,
        "status": "ok",
    }


def wall_time(rows: list[dict], params: parameters.Params, workers: int) -> float:
    """Seconds that `workers` processes take to crop the items, their start included."""
    with tempfile.TemporaryDirectory() as folder:
        shards.WORK, os.environ["DREAMTALK_WORKERS"] = Path(folder), str(workers)
        start = time.monotonic()
        crop_all(tables.from_rows(rows, tables.SOURCES), params.crop)
        return time.monotonic() - start


def main() -> None:
    params, paths = parameters.load(), [Path(name) for name in sys.argv[1:]]
    torch.set_num_threads(1)
    with one_core():
        finder = TakeFinder(params.crop)
        for path in paths:
            (count, floor), (made, seconds, outcome) = bare(path), ours(path, params, finder)
            print(
                f"{path.name}: decord + FaceMesh {count / floor:.0f} frames/s,"
                f" crop + fit {count / seconds:.0f} frames/s,"
                f" ratio {floor / seconds:.2f} ({made} of {count} frames in {outcome})",
                flush=True,
            )
    rows = [item(path, f"v{number}_{turn}") for number, path in enumerate(paths) for turn in range(TURNS)]
    with one_core():
        bound = wall_time(rows, params, 1)
    free, two = wall_time(rows, params, 1), wall_time(rows, params, 2)
    print(
        f"{len(rows)} videos: one process on one core {bound:.1f} s, on all cores {free:.1f} s,"
        f" two processes {two:.1f} s, ratios {bound / two:.2f} and {free / two:.2f}"
    )


if __name__ == "__main__":
    main()
