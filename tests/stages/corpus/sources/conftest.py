"""Small corpora of each layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from stages import params as parameters
from stages import tables
from stages.corpus.encode import write_mp4
from stages.corpus.ingest import ingest
from tests.stages.corpus.tiny_videos import RATE, hum

Ingested = tuple[pd.DataFrame, pd.DataFrame]


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny files: `both` (0.4 s of picture and sound), `silent` (0.4 s), `sound` (0.4 s), `long` (2 s of sound)."""
    folder = tmp_path_factory.mktemp("media")
    frames = [np.zeros((16, 16, 3), np.uint8)] * 10
    write_mp4(folder / "both.mp4", frames, 25, hum(0.4), RATE)
    write_mp4(folder / "silent.mp4", frames, 25)
    soundfile.write(folder / "sound.wav", hum(0.4), RATE)
    soundfile.write(folder / "long.wav", hum(2.0), RATE)
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


@pytest.fixture
def put(corpus: Path, media: dict[str, Path]) -> Callable[..., None]:
    """Put a tiny file at places of the corpus."""

    def copy(kind: str, *places: str) -> None:
        for place in places:
            (corpus / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(media[kind], corpus / place)

    return copy


@pytest.fixture
def take(root: Path, tmp_path: Path, corpus: Path) -> Callable[..., Ingested]:
    """Ingest the corpus; items by item_id, and defects. Keywords change sections of `ingest`."""

    def run(source: str, **changes: dict[str, Any]) -> Ingested:
        raw = parameters.load(root / "params.yaml").model_dump(by_alias=True)
        raw["ingest"] |= {"source": source, "folder": str(corpus)}
        raw["ingest"]["download"] |= {
            "folder": str(tmp_path / "downloads"), "pause_s": 0.0, "backoff_s": 0.0, "attempts": 1, "timeout_s": 1.0,
        }  # fmt: skip
        for section, values in changes.items():
            raw["ingest"][section] |= values
        ingest(parameters.parse(raw), tmp_path / "raw")
        items = tables.read(tmp_path / "raw/sources.parquet").set_index("item_id", drop=False)
        return items, tables.read(tmp_path / "raw/defects.parquet")

    return run
