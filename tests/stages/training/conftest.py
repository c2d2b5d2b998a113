"""A toy corpus in the pipeline's own files: motion follows the sound, its size and rest position follow the style."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.face_topology import VERTICES
from stages import columns, tables
from stages.training import data

EXPRESSION, IDENTITY, FEATURES = 8, 4, 6
STYLES = [("angry", 1), ("angry", 3), ("happy", 2), ("neutral", 1)]
SPLITS = {"M001": "train", "M002": "train", "W003": "train", "W004": "val", "W005": "test"}


@dataclass(frozen=True)
class Toy:
    """Folders of the toy corpus and its corpora by split."""

    root: Path
    split: pd.DataFrame
    face: FaceModel

    def corpus(self, name: str) -> data.Corpus:
        part = self.split[self.split["split"] == name]
        return data.load(part, self.root / "data/motion", self.root / "data/audio")


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("toy")
    rng = np.random.default_rng(0)
    listen = rng.normal(size=(FEATURES, EXPRESSION))
    rows, motion, audio = [], [], []
    for speaker, split in SPLITS.items():
        identity = rng.normal(size=IDENTITY)
        for style, (emotion, level) in enumerate(STYLES):
            rest = rng.normal(size=EXPRESSION)
            for take in range(3):
                frames = int(rng.integers(45, 70))
                sound = gaussian_filter1d(rng.normal(size=(2 * frames, FEATURES)), 2, axis=0) * 2
                spoken = np.tanh(sound[::2] @ listen) * (0.6 + 0.4 * style)
                clip_id = f"{speaker}_{emotion}{level}_{take}"
                motion.append(
                    {
                        "clip_id": clip_id,
                        "expression": 0.15 * (spoken + rest + 0.2 * rng.normal(size=spoken.shape)),
                        "identity": identity + 0.05 * rng.normal(size=IDENTITY),
                        "angles": 0.1 * rng.normal(size=(frames, 3)),
                        "translation": rng.normal(size=(frames, 3)),
                        "crop": np.tile([1.0, 0.0, 0.0], (frames, 1)),
                        "fit_rmse_px": np.ones(frames),
                    }
                )
                audio.append({"clip_id": clip_id, "features": np.hstack([sound[:, :-1], sound[:, -1:] + style])})
                rows.append(
                    {
                        "clip_id": clip_id,
                        "speaker": speaker,
                        "emotion": emotion,
                        "level": level,
                        "style": f"{speaker}/{emotion}/{level}",
                        "split": "judge" if split == "test" and take else split,
                        "together": clip_id,
                        "portrait_clip_id": clip_id,
                        "other_audio_clip_id": clip_id,
                    }
                )
    half = len(motion) // 2
    for index, part in enumerate((slice(half), slice(half, None))):
        columns.write_shard(root / f"data/motion/shard-{index:05}.arrow", motion[part])
        columns.write_shard(root / f"data/audio/shard-{index:05}.arrow", audio[part])
    split = tables.from_rows(rows, tables.SPLIT)
    tables.write(split, tables.SPLIT, root / "data/split.parquet")
    face = _face(rng)
    (root / "models/face_model").mkdir(parents=True)
    face.save(root / "models/face_model/face_model.npz")
    return Toy(root, tables.read(root / "data/split.parquet"), face)


def _face(rng: np.random.Generator) -> FaceModel:
    def tensor(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    return FaceModel(
        mean=tensor(VERTICES, 3),
        identity_basis=0.1 * tensor(3 * VERTICES, IDENTITY),
        expression_basis=0.1 * tensor(3 * VERTICES, EXPRESSION),
        expression_std=torch.full((EXPRESSION,), 0.2),
        vertex_weights=torch.ones(VERTICES),
        triangles=torch.arange(VERTICES).reshape(-1, 3),
    )


@pytest.fixture
def settings(root: Path):
    """The demo profile's parameters."""
    from stages import params

    return params.load(root / "params.yaml")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
