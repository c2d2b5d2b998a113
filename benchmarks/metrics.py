"""How fast a talking head is judged, against the 60 frames/s that keep evaluation from being what one waits for.

    python -m benchmarks.metrics [VIDEO]

Without a video, a talking photograph of 100 frames is judged. One process; one thread but for FaceMesh, whose
threads the processor time counts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch

from dreamtalk_models import checkpoints
from dreamtalk_models.identity_judge import IdentityJudge
from dreamtalk_models.renderers.mesh_warp import MeshWarper
from dreamtalk_models.syncnet import SyncNet
from stages.corpus.encode import write_mp4
from stages.corpus.faces import FaceMesh
from stages.evaluation import scoring
from stages.evaluation.metrics.identity import aligned_faces
from stages.evaluation.metrics.landmark_distance import f_lmd, m_lmd
from stages.evaluation.metrics.sharpness import cpbd
from stages.evaluation.metrics.structural_similarity import ssim
from stages.features import sync_inputs
from stages.params import load

LIMIT = 60.0  # frames/s
WHOLE = "all but SyncNet, from the file"
FRAMES, SIZE, RATE = 100, 256, 16000
SPEAKERS = 16  # that the identity judge has seen


def talking_photograph(path: Path) -> None:
    picture = cv2.resize(skimage.data.astronaut()[:256, 96:352], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    with FaceMesh(static=True) as mesh:
        points = mesh.landmarks(picture)[:468]
    warper = MeshWarper(picture, points)
    targets = np.repeat(points[None], FRAMES, axis=0)
    targets[:, [14, 87, 317, 17, 84, 314, 152], 1] += 6 * np.sin(np.arange(FRAMES) / 3)[:, None] ** 2
    write_mp4(path, map(warper.frame, targets), scoring.FPS)


def frames_per_second(function: Callable[[], object], frames: int) -> tuple[float, float]:
    """By the clock, and by the processor's time, which other programs on the machine do not lengthen."""
    clock, processor = time.perf_counter(), time.process_time()
    function()
    return frames / (time.perf_counter() - clock), frames / (time.process_time() - processor)


def main(path: Path | None = None) -> None:
    section = load()
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            path = Path(folder) / "photograph.mp4"
            talking_photograph(path)
        weights = Path(folder) / "syncnet.safetensors"
        checkpoints.save(SyncNet(width=section.syncnet.width, size=section.syncnet.size), weights)
        evaluate = section.evaluate
        judges = scoring.Judges(scoring.Settings(evaluate.size, evaluate.vshift, evaluate.min_face_rate, weights))
        video, _ = scoring.read_video(path, evaluate.size)
        n = len(video.frames)
        sound = scoring.Sound(np.random.default_rng(0).normal(0, 0.1, n * RATE // scoring.FPS), RATE)
        truth = scoring.Truth(video.frames[::-1].copy(), video.points[::-1].copy())
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
        faces = Path(folder) / "identity_judge.safetensors"
        checkpoints.save(IdentityJudge(size=section.identity_judge.size, dimensions=SPEAKERS - 1), faces)
        rest = scoring.Settings(evaluate.size, evaluate.vshift, evaluate.min_face_rate, corpus_identity=faces)
        without = scoring.Judges(rest)
        recogniser = without.recognisers["id_sim_corpus"]
        steps = {
            "decoding": lambda: scoring.read_video(path, evaluate.size),
            "landmarks": lambda: scoring.Video(video.frames).mesh,
            "SSIM": lambda: ssim(truth.frames, video.frames),
            "CPBD": lambda: cpbd(video.frames),
            "F-LMD and M-LMD": lambda: (f_lmd(truth.points, video.points), m_lmd(truth.points, video.points)),
            "identity": lambda: recogniser(aligned_faces(video.frames, video.points)),
            WHOLE: lambda: scoring.score(scoring.read_video(path, evaluate.size)[0], truth, None, without),
            "SyncNet alone": lambda: scoring.lip_sync(
                *judges.syncnets["_corpus"][:1],
                sync_inputs.mouth_crops(video.frames, video.mesh, section.syncnet.size),
                sync_inputs.mfcc(*sound, frames=n),
                evaluate.vshift,
            ),
        }
        judge = f"SyncNet {section.syncnet.width} x {section.syncnet.size} px"
        print(f"{path.name}: {n} frames at {evaluate.size} px, {judge}")
        for name, function in steps.items():
            clock, processor = frames_per_second(function, n)
            ratios = f"{clock / LIMIT:8.1f} x the limit of {LIMIT:.0f} ({processor / LIMIT:.1f} x in processor time)"
            print(f"{name:32s}{clock:12.0f} frames/s{ratios}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
