"""How much the stage `crop` costs beyond what it cannot do without: decoding the video, and one FaceMesh per frame.

    python benchmarks/crop.py VIDEO [VIDEO ...]

Prints, for each video with a face and sound, frames per second of CPU time for decode + FaceMesh alone, for all of
crop_item, and their ratio (1 would be no cost at all).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from stages import params as parameters
from stages import tables
from stages.corpus.clip import crop_item
from stages.corpus.decode import frames
from stages.corpus.faces import FaceMesh
from stages.corpus.takes import TakeFinder
from stages.files import quoted


def bare(path: Path, fps: float) -> tuple[int, float]:
    """Frames, and CPU seconds for decoding them and finding their landmarks."""
    start, count = time.process_time(), 0
    with FaceMesh() as mesh:
        for rgb in frames(path, fps):
            mesh.landmarks(rgb)
            count += 1
    return count, time.process_time() - start


def main() -> None:
    crop = parameters.load().crop
    finder = TakeFinder(crop)
    for path in map(Path, sys.argv[1:]):
        count, floor = bare(path, crop.fps)
        item = {"item_id": "clip", "origin": path.name, "path": quoted(path), "audio_path": None}
        item = dict.fromkeys(tables.SOURCES.names) | item
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            clips, rejected, _ = crop_item(item, Path(folder), crop, finder)
            whole = time.process_time() - start
        made = sum(row["frames"] for row in clips)
        print(
            f"{path.name}: decode + FaceMesh {count / floor:.0f} frames/s, crop {count / whole:.0f} frames/s,"
            f" ratio {floor / whole:.2f} ({made} of {count} frames in {len(clips)} clips, {len(rejected)} rejected)"
        )


if __name__ == "__main__":
    main()
