"""What a viewer sees of talking heads: is the mouth shut in silence and on m, b, p, does it move in speech, is it calm?

python -m benchmarks.talking_head PORTRAIT VOICE [VOICE ...] [--root REPOSITORY]

Each voice, and one sentence of eSpeak NG whose phonemes are timed, is spoken by the portrait (mesh warp, no mark, still
head, blinks), and the video is looked at by MediaPipe's face mesh. Opening: between the inner lips, over the mouth's
width. Jitter: root mean square of the lips' second difference in time, in thousandths of the face's width. Silence:
frames 35 dB below the loud parts, but for two at each edge, in which lips may close or part.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion

from dreamtalk_models.face_topology import INNER_LIPS, OUTER_LIPS
from stages import params
from stages.corpus import decode
from stages.corpus.demo import visemes, voice
from stages.corpus.encode import write_wav
from stages.corpus.faces import FaceMesh
from stages.evaluation.from_files import Request, talking_head
from stages.evaluation.pauses import loudness_db
from stages.evaluation.voice import read_voice
from stages.evaluation.workshop import Workshop

SENTENCE = "Mamma made a big map. Bob may buy papa a pump, but Peter put my mop by a bamboo pipe."
SHUT = 0.06  # opening below which lips are seen to touch
SILENT_DB, EDGE = 35.0, 2


def seen(video: Path) -> tuple[np.ndarray, np.ndarray]:
    """Opening (n,), and jitter (n - 2,) in thousandths of the face's width, of a video."""
    with FaceMesh() as mesh:
        points = np.stack([mesh.landmarks(frame)[:468, :2] for frame in decode.read_video(video, 25)])
    gap, width = (np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in ((14, 13), (291, 61)))
    lips = points[:, [*INNER_LIPS, *OUTER_LIPS]]
    jitter = np.sqrt(np.square(np.diff(lips, 2, axis=0)).sum(2).mean(1)) / np.ptp(points[..., 0], axis=1).mean()
    return gap / width, 1000 * jitter


def silence(samples: np.ndarray, frames: int) -> np.ndarray:
    level = loudness_db(samples, frames)
    quiet = np.pad(level < np.percentile(level, 95) - SILENT_DB, EDGE, mode="edge")
    return binary_erosion(quiet, np.ones(2 * EDGE + 1))[EDGE:-EDGE]


def report(name: str, samples: np.ndarray, opening: np.ndarray, jitter: np.ndarray) -> None:
    quiet = silence(samples, len(opening))
    for what, frames in (("silence", quiet), ("speech", ~quiet)):
        if frames.sum() > EDGE:
            middle, high = np.percentile(opening[frames], [50, 95])
            shut = (opening[frames] < SHUT).mean()
            calm = np.sqrt(np.square(jitter[frames[1:-1]]).mean())
            print(
                f"{name:36s} {what:8s} frames {frames.sum():4d}  opening median {middle:.3f}, 95 % {high:.3f}  "
                f"shut {shut:4.0%}  jitter {calm:5.2f}"
            )


def closures(speech: voice.Speech, opening: np.ndarray) -> None:
    """How far the lips come together on each m, b and p, a frame either side counted."""
    ends = [start for _, start in speech.phonemes[1:]] + [len(speech.samples) / voice.SAMPLE_RATE]
    least = []
    for (phoneme, start), end in zip(speech.phonemes, ends, strict=True):
        if phoneme in visemes.CLOSED:
            first, last = max(0, int(start * 25) - 1), int(end * 25) + 2
            least.append(opening[first:last].min())
    shut = np.mean(np.array(least) < SHUT)
    print(f"m, b, p: {len(least)}, least opening median {np.median(least):.3f}, shut {shut:.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portrait", type=Path)
    parser.add_argument("voices", type=Path, nargs="+")
    parser.add_argument("--root", type=Path, default=Path())
    given = parser.parse_args()
    workshop = Workshop(given.root, params.load(given.root / params.PARAMS_FILE))
    speech = voice.speak(SENTENCE, voice.Prosody("en", 160, 50, 50, 100))
    with tempfile.TemporaryDirectory() as folder:
        timed = Path(folder) / "m_b_p.wav"
        write_wav(timed, speech.samples, voice.SAMPLE_RATE)
        for path in (*given.voices, timed):
            out, begun = Path(folder) / f"{path.stem}.mp4", time.process_time()
            talking_head(Request(given.portrait, path, out, watermark=False), workshop)
            spent = time.process_time() - begun
            opening, jitter = seen(out)
            report(path.name, read_voice(path, 16_000), opening, jitter)
            print(f"{path.name:36s} {len(opening) / 25:.1f} s of video took {spent:.1f} s of processor time")
        closures(speech, opening)


if __name__ == "__main__":
    main()
