"""Two methods and the truth, of which a preference is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.corpus.encode import write_mp4


@pytest.fixture(scope="package")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By name the folders of the methods “predicted” and “stranger” and of the videos “real”, six clips each."""
    root = tmp_path_factory.mktemp("methods")
    rng = np.random.default_rng(0)
    for name in ("predicted", "stranger", "real"):
        (root / name).mkdir()
        for clip in "abcdef":
            frames = rng.integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
            write_mp4(root / name / f"{clip}.mp4", frames, 25, rng.normal(0, 0.1, 2560).astype(np.float32), 16000)
    return {path.name: path for path in root.iterdir()}
