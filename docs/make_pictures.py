"""Make docs/talking_heads.jpg, the README's picture: one portrait and one sentence in several styles.

Run after `make repro`: ``python docs/make_pictures.py``. The portrait is the public-domain photograph that
scikit-image carries, the voice and the styles are those of test clips of the demo corpus.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image, ImageDraw
from skimage import data

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from stages import tables  # noqa: E402
from stages.corpus.decode import read_video  # noqa: E402
from stages.corpus.media import Clips  # noqa: E402

EMOTIONS = ("happy", "angry", "sad", "surprised")
MOMENTS = 7
TILE = 150  # px
LABEL = 76  # px


def main() -> None:
    split = tables.read(ROOT / "data/split.parquet")
    test = split[(split["split"] == "test") & (split["level"] == 3)].sort_values("clip_id")
    clips = Clips(ROOT / "data/clips")
    speaker = test["speaker"].iloc[0]
    with tempfile.TemporaryDirectory() as folder:
        portrait, voice = Path(folder, "portrait.png"), Path(folder, "voice.wav")
        Image.fromarray(data.astronaut()[:256, 96:352]).save(portrait)
        spoken = test.loc[(test["speaker"] == speaker) & (test["emotion"] == EMOTIONS[0]), "clip_id"].iloc[0]
        soundfile.write(voice, clips.audio(spoken), int(clips.table.loc[spoken, "audio_rate"]))
        rows = []
        for emotion in EMOTIONS:
            style = test.loc[(test["speaker"] == speaker) & (test["emotion"] == emotion), "clip_id"].iloc[0]
            video = Path(folder, f"{emotion}.mp4")
            command = [sys.executable, "-m", "flows.cli", "generate", "--portrait", portrait, "--voice", voice]
            subprocess.run([*command, "--style", style, "--size", "256", "-o", video], cwd=ROOT, check=True)
            rows.append(strip(emotion, read_video(video, 25)))
    Image.fromarray(np.concatenate(rows)).save(ROOT / "docs/talking_heads.jpg", quality=88)


def strip(label: str, frames: np.ndarray) -> np.ndarray:
    """One row: the label and frames at even moments, (TILE, LABEL + MOMENTS * TILE, 3)."""
    moments = np.linspace(0, len(frames) - 1, MOMENTS + 2).round().astype(int)[1:-1]
    tiles = [np.array(Image.fromarray(frames[i]).resize((TILE, TILE), Image.Resampling.LANCZOS)) for i in moments]
    name = Image.new("RGB", (LABEL, TILE), "white")
    ImageDraw.Draw(name).text((6, TILE // 2 - 6), label, fill="black")
    return np.concatenate([np.array(name), *tiles], axis=1)


if __name__ == "__main__":
    main()
