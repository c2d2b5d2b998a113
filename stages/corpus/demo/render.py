"""One clip of the demo corpus: spoken, acted, drawn and encoded, with the truth about it beside it."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dreamtalk_models.renderers.mesh_warp import MeshWarper
from stages.corpus.demo.emotions import EMOTIONS, LEVELS, SENTENCES, STYLES, Clip
from stages.corpus.demo.motion import FPS, Motion, make_motion
from stages.corpus.demo.photograph import Photograph
from stages.corpus.demo.portrait import make_portrait, project
from stages.corpus.demo.rig import build_rig
from stages.corpus.demo.speakers import Speaker, make_speaker
from stages.corpus.demo.voice import SAMPLE_RATE, Prosody, Speech, speak
from stages.corpus.encode import write_mp4

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_SENTENCE_S = 2.5  # at an ordinary rate


@dataclass(frozen=True)
class Studio:
    """What every clip of a corpus is made with."""

    photo: Photograph
    size: int
    seconds: float
    foretold: float
    seed: int


class Actor:
    """A speaker ready to be filmed: the portrait's warper and the rig."""

    def __init__(self, studio: Studio, number: int) -> None:
        self.speaker: Speaker = make_speaker(studio.photo, number, studio.seed, studio.foretold)
        self.rig = build_rig(studio.photo, self.speaker.shape)
        portrait, landmarks = make_portrait(studio.photo, self.speaker, studio.size)
        self.warper = MeshWarper(portrait, landmarks, mesh=studio.photo.mesh)


def clip_name(speaker: Speaker, clip: Clip) -> str:
    """MEAD's flat naming, such as M001_front_angry_level3_001."""
    return f"{speaker.name}_front_{clip.emotion}_level{clip.level}_{clip.number:03d}"


def text_of(clip: Clip, seconds: float) -> str:
    """As many sentences as come nearest to `seconds` of speech; which ones depends on the clip only."""
    first = clip.speaker * 7 + STYLES.index((clip.emotion, clip.level)) * 11 + clip.number * 17
    count = max(1, round(seconds / _SENTENCE_S))
    return " ".join(SENTENCES[(first + 13 * i) % len(SENTENCES)] for i in range(count))


def prosody_of(speaker: Speaker, clip: Clip) -> Prosody:
    """The speaker's voice in the clip's emotion."""
    table, strength = EMOTIONS[clip.emotion], LEVELS[clip.level]
    shown = float(speaker.gain[clip.emotion].mean()) * strength
    return Prosody(
        voice=speaker.voice,
        rate=round(speaker.rate * table.rate**shown),
        pitch=round(np.clip(speaker.pitch + table.pitch * shown, 0, 99)),
        pitch_range=round(np.clip(speaker.pitch_range + table.pitch_range * shown, 2, 99)),
        volume=round(np.clip(50 * table.volume**shown, 10, 100)),
    )


def make_clip(studio: Studio, actor: Actor, clip: Clip, out_dir: Path) -> dict:
    """Write videos/<clip>.mp4 and truth/<clip>.npz; the row says path, speaker, emotion, level and frames."""
    cv2.setNumThreads(1)
    name = clip_name(actor.speaker, clip)
    speech = speak(text_of(clip, studio.seconds), prosody_of(actor.speaker, clip))
    motion = make_motion(speech, actor.speaker, clip, studio.seed)
    shapes = actor.rig.pose(motion.parameters)
    landmarks = project(shapes, studio.size, actor.speaker.placement, motion.angles, motion.shift)
    video = out_dir / "videos" / f"{name}.mp4"
    sound = speech.samples[: round(len(landmarks) / FPS * SAMPLE_RATE)]
    write_mp4(video, (actor.warper.frame(points) for points in landmarks), FPS, sound, SAMPLE_RATE)
    write_truth(out_dir / "truth" / f"{name}.npz", clip, landmarks, motion, speech)
    return {
        "path": video.relative_to(out_dir).as_posix(),
        "speaker": actor.speaker.name,
        "emotion": clip.emotion,
        "level": clip.level,
        "frames": len(landmarks),
    }


def write_truth(path: Path, clip: Clip, landmarks: np.ndarray, motion: Motion, speech: Speech) -> None:
    """The clip's ground truth as an .npz whose bytes depend on nothing but its contents."""
    starts = np.array([start for _, start in speech.phonemes])
    arrays = {
        "landmarks_px": landmarks[..., :2].astype(np.float32),
        "parameters": motion.parameters.astype(np.float32),
        "angles_rad": motion.angles.astype(np.float32),
        "mouth_gap_px": np.linalg.norm(landmarks[:, 14, :2] - landmarks[:, 13, :2], axis=1).astype(np.float32),
        "blinks": np.array(motion.blinks, np.int32).reshape(-1, 2),
        "phonemes": np.array([name for name, _ in speech.phonemes], "U8"),
        "phoneme_starts_s": starts.astype(np.float32),
        "style": np.array([clip.emotion, str(clip.level)]),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for key, array in sorted(arrays.items()):
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", _ZIP_DATE), buffer.getvalue())
