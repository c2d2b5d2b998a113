"""How much faster than real time the demo corpus is made, on one core: speech, motion, warp and encoding.

Run from the repository root: `python -m benchmarks.demo_corpus`. Prints ratios to 25 frames/s of CPU time.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import cv2

from stages.corpus.demo.emotions import Clip
from stages.corpus.demo.motion import FPS, make_motion
from stages.corpus.demo.photograph import photograph
from stages.corpus.demo.portrait import project
from stages.corpus.demo.render import Actor, Studio, make_clip, prosody_of, text_of
from stages.corpus.demo.voice import speak

CLIPS = [Clip(0, emotion, 2, number) for emotion in ("happy", "angry", "sad") for number in (1, 2)]


def main() -> None:
    cv2.setNumThreads(1)
    for size in (256, 320):
        studio = Studio(photograph(), size, 3.0, 0.85, 0)
        start = time.process_time()
        actor = Actor(studio, 0)
        print(f"{size} px: a speaker is ready in {time.process_time() - start:.2f} s")

        clip = CLIPS[0]
        speech = speak(text_of(clip, 3.0), prosody_of(actor.speaker, clip))
        motion = make_motion(speech, actor.speaker, clip, seed=0)
        points = project(actor.rig.pose(motion.parameters), size, actor.speaker.placement, motion.angles, motion.shift)
        start = time.process_time()
        actor.warper(points)
        report(f"{size} px: the warp alone", len(points), time.process_time() - start)

        with tempfile.TemporaryDirectory() as folder:
            for part in ("videos", "truth"):
                (Path(folder) / part).mkdir()
            start = time.process_time()
            frames = sum(make_clip(studio, actor, clip, Path(folder))["frames"] for clip in CLIPS)
            report(f"{size} px: everything", frames, time.process_time() - start)


def report(what: str, frames: int, seconds: float) -> None:
    rate = frames / seconds
    print(f"{what}: {rate:.0f} frames/s a core, {rate / FPS:.1f} x real time")


if __name__ == "__main__":
    main()
