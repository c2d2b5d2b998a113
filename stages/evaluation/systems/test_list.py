"""The test list in the form that other systems take: sound, portrait, style reference and head motion of each clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from dreamtalk_models.face_model import FaceModel
from stages import tables
from stages.columns import Columns
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.media import Clips
from stages.corpus.unpack import write_clip
from stages.evaluation import coefficients
from stages.evaluation.coefficients import Coefficients
from stages.evaluation.motion import Pose
from stages.evaluation.systems.manifest import systems
from stages.evaluation.variants import chosen
from stages.files import atomic_path

FILES = {
    "audio": "wav",
    "portrait": "png",
    "reference": "mp4",
    "reference_mat": "mat",
    "pose": "mp4",
    "pose_mat": "mat",
    "truth": "mp4",
}
"""Folders of a test list, which hold <clip_id>.<suffix>."""
ABOUT = """\
The test list of a DreamTalk reproduction, for any talking-head system. list.csv has a row a clip:

audio          what is said, 16 kHz mono
portrait       the clip's first frame
reference      its second half, without sound: the speaking style. Not to be copied into the result
reference_mat  the same as coefficients of the face model {digest}, in Deep3DFaceRecon's layout
pose           the clip without sound, for systems that take head motion from a video
pose_mat       head motion alone, in the same layout, with an expression of zeros
truth          what the result is compared with; no system may see it
emotion, level what the clip's style is called; empty where unknown

A result is a video of {fps} frames/s named <clip_id>.mp4, square, framed as the portrait. Put a system's results into
data/methods/NAME/ and type `dvc repro report`, or score them anywhere:

    dreamtalk evaluate --truth truth/ --method NAME=results/ -o scores/

How the systems that the paper compares are called (none of them is part of this):
"""


def export(root: Path, model: FaceModel, size: int, fps: int, most: int, out: Path) -> pd.DataFrame:
    """Write the test clips of a reproduction in `root` to `out`.

    Args:
        model: the face model that data/motion was fitted with. size: px, edge of the clips. fps: theirs.
        most: test clips at most, those that the variants are made of (`generate.max_clips`).

    Returns:
        what list.csv holds: clip_id, speaker, emotion, level, frames, and each file's path within `out`.

    Raises:
        FileNotFoundError, ValueError: the corpus is not there, or has no test clip.
    """
    media, motion = Clips(root / "data/clips"), Columns(root / "data/motion")
    clips = chosen(tables.read(root / "data/split.parquet"), most)
    for folder in FILES:
        (out / folder).mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in clips.itertuples():
        files = {folder: f"{folder}/{clip.clip_id}.{suffix}" for folder, suffix in FILES.items()}
        _write(media, motion[clip.clip_id], clip.clip_id, model, (size, size), {k: out / v for k, v in files.items()})
        frames = int(media.table.loc[clip.clip_id, "frames"])
        about = {"clip_id": clip.clip_id, "speaker": clip.speaker, "emotion": clip.emotion, "level": clip.level}
        rows.append(about | {"frames": frames} | files)
    table = pd.DataFrame(rows)
    with atomic_path(out / "list.csv") as tmp:
        table.to_csv(tmp, index=False)
    calls = "\n".join(f"{s.name}: {s.run or 'no public code is known'}\n    {s.notes}" for s in systems())
    about = ABOUT.format(digest=model.digest[:12], fps=fps)
    (out / "README.txt").write_text(f"{about}\n{calls}\n", encoding="utf-8")
    return table


def _write(
    media: Clips, motion: dict, clip_id: str, model: FaceModel, size: tuple[int, int], files: dict[str, Path]
) -> None:
    pictures, fps = media.frames(clip_id), round(media.table.loc[clip_id, "fps"])
    half = len(motion["expression"]) // 2  # as in variants.py
    write_wav(files["audio"], media.audio(clip_id), int(media.table.loc[clip_id, "audio_rate"]))
    Image.fromarray(pictures[0]).save(files["portrait"])
    write_mp4(files["reference"], pictures[half:], fps)
    files["pose"].write_bytes(media.member(clip_id, "mp4"))
    write_clip(media, clip_id, files["truth"])
    for name, part, expression in (
        ("reference_mat", slice(half, None), motion["expression"]),
        ("pose_mat", slice(None), np.zeros_like(motion["expression"])),
    ):
        pose, rmse = Pose(motion["angles"][part], motion["translation"][part]), motion["fit_rmse_px"][part]
        found = Coefficients(motion["identity"], expression[part], pose, rmse, size, model.digest, fps)
        coefficients.write(found, files[name])
