"""`dreamtalk status` tells how far the corpus is at every point of the way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.status import rows
from stages import params as parameters
from stages import shards, tables
from stages.corpus import crop
from tests.stages.corpus.tiny_videos import item


@pytest.fixture
def here(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copyfile(root / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shards, "WORK", Path(".work"))
    return tmp_path


def test_from_nothing_to_clips(here: Path) -> None:
    assert rows() == [("sources", "not listed yet: `dvc repro ingest`")]
    listed = [item(Path(__file__), item_id=name) for name in "abc"]
    listed[2] |= {"status": "failed", "path": None, "reason": "is empty (zero bytes)"}
    table = tables.from_rows(listed, tables.SOURCES)
    tables.write(table, tables.SOURCES, Path("data/raw/sources.parquet"))
    assert dict(rows())["sources"] == "3 items of demo, 1 failed"
    assert dict(rows())["crop"].startswith("0 of 2 videos")
    _, keys = crop.jobs(table, parameters.load().crop)
    (shards.WORK / "crop" / keys[0]).mkdir(parents=True)
    assert dict(rows())["crop"].startswith("1 of 2 videos")
    clip = {"clip_id": "a", "speaker": "A", "frames": 90000, "fps": 25.0, "shard": "shard-00000.tar"}
    refused = [{"item_id": name, "reason": f"only 0.{n} s with a face"} for n, name in enumerate("bc")]
    tables.write(tables.from_rows([clip], tables.CLIPS), tables.CLIPS, Path("data/clips/clips.parquet"))
    tables.write(tables.from_rows(refused, tables.QUARANTINE), tables.QUARANTINE, Path("data/clips/quarantine.parquet"))
    found = rows()
    assert ("clips", "1 clips of 1 speakers, 1.00 h") in found
    assert found[-2:] == [("quarantine", "2 refused"), ("", "2 x only … s with a face")]
