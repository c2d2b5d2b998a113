"""Frames a second of the mesh warp on one core, with and without encoding them: a photograph that talks and turns.

python -m benchmarks.mesh_warp [--size 256] [--frames 100] [--repeats 3] [--background still]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from dreamtalk_models.face_topology import INNER_LIPS, OUTER_LIPS
from dreamtalk_models.renderers.mesh_warp import MeshWarper
from stages.corpus.encode import write_mp4
from stages.evaluation.portrait import find_face

LOWER_LIPS = (*OUTER_LIPS[1:10], *INNER_LIPS[1:10])


def motion(landmarks: np.ndarray, frames: int) -> np.ndarray:
    """(frames, 468, 3) px: the lower lip goes down and up five times a second, the head turns 15° to and fro."""
    size = float(np.ptp(landmarks[:, 1]))
    centre = landmarks.mean(0)
    out = []
    for i in range(frames):
        moved = landmarks - centre
        moved[list(LOWER_LIPS), 1] += 0.04 * size * (1 - np.cos(2 * np.pi * i / 5)) / 2
        turn = np.deg2rad(15) * np.sin(2 * np.pi * i / 50)
        x, z = moved[:, 0].copy(), moved[:, 2].copy()
        moved[:, 0], moved[:, 2] = np.cos(turn) * x + np.sin(turn) * z, np.cos(turn) * z - np.sin(turn) * x
        out.append(moved + centre)
    return np.stack(out)


def main() -> None:
    import skimage.data

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--background", choices=("still", "follow"), default="still")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    photograph = skimage.data.astronaut()[0:256, 96:352]
    portrait = cv2.resize(photograph, (given.size, given.size), interpolation=cv2.INTER_AREA)
    landmarks, _ = find_face(portrait, "the photograph")
    moved = motion(landmarks, given.frames)
    warper = MeshWarper(portrait, landmarks, background=given.background)

    def frames() -> Iterator[np.ndarray]:
        return map(warper.frame, moved)

    with tempfile.TemporaryDirectory() as folder:
        works: dict[str, Callable[[], object]] = {
            "warped": lambda: list(frames()),
            "warped and encoded": lambda: write_mp4(Path(folder) / "film.mp4", frames(), 25),
        }
        for name, work in works.items():
            seconds = []
            for _ in range(given.repeats):
                start = time.process_time()
                work()
                seconds.append(time.process_time() - start)
            print(f"{name}: {given.frames / median(seconds):.0f} frames a second of one core at {given.size} px")


if __name__ == "__main__":
    main()
