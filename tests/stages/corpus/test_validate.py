"""Each contract catches what breaks it and names the row; the page shows it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import tables
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.validate import validate, write_page
from tests.stages.corpus.tiny_videos import RATE, hum

IDS = ("a", "b", "c")


@pytest.fixture(scope="module")
def media(tmp_path_factory) -> Path:
    """One tar of three clips of 15 frames."""
    folder = tmp_path_factory.mktemp("media")
    with tarfile.open(folder / "shard-00000.tar", "w") as tar:
        for name in IDS:
            write_mp4(folder / "x.mp4", np.zeros((15, 128, 128, 3), np.uint8), 25)
            write_wav(folder / "x.wav", hum(0.6), RATE)
            tar.add(folder / "x.mp4", f"{name}.mp4")
            tar.add(folder / "x.wav", f"{name}.wav")
    return folder / "shard-00000.tar"


@pytest.fixture
def check(tmp_path, media, crop, contracts):
    """Validate a good corpus after `change`d rows: broken contracts with their rows."""

    def run(change=lambda frames: None, settings=contracts):
        clip = {
            "corpus": "test", "speaker": "A", "emotion": "sad", "level": 1, "start_s": 0.0, "end_s": 0.6, "frames": 15,
            "fps": 25.0, "width": 128, "height": 128, "audio_rate": RATE, "audio_s": 0.6, "face_px": 90.0,
            "detection_rate": 1.0, "shard": media.name, "sha256": "0", "status": "ok", "reason": None,
        }  # fmt: skip
        origin = {"corpus": "test", "speaker": "A", "emotion": None, "level": None}
        frames = {
            "clips": tables.from_rows([{"clip_id": n, "source_file": f"{n}.mp4", **clip} for n in IDS], tables.CLIPS),
            "sources": tables.from_rows(
                [{**origin, "item_id": n, "origin": f"{n}.mp4", "path": n, "status": "ok"} for n in IDS],
                tables.SOURCES,
            ),
            "quarantine": tables.from_rows(
                [{**origin, "item_id": "d", "source_file": "d.mp4", "stage": "crop", "reason": "no face found"}],
                tables.QUARANTINE,
            ),
        }
        change(frames)
        (tmp_path / "clips").mkdir()
        (tmp_path / "clips" / media.name).symlink_to(media)
        for name, frame in frames.items():
            schema = getattr(tables, name.upper())
            schema = pa.schema([schema.field(key) for key in frame.columns if key in schema.names])
            table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
            pq.write_table(table, tmp_path / "clips" / f"{name}.parquet")
        (tmp_path / "clips/sources.parquet").rename(tmp_path / "sources.parquet")
        checks, numbers = validate(tmp_path, tmp_path / "clips", settings, crop)
        write_page(checks, frames["clips"], frames["quarantine"], tmp_path / "page.html")
        assert numbers["checks_broken"] == sum(not c.kept for c in checks)
        return {check.contract: check.rows for check in checks if not check.kept}

    return run


def setter(table: str, column: str, value, row: int = 1):
    def change(frames: dict[str, pd.DataFrame]) -> None:
        frames[table].loc[row, column] = value

    return change


def test_a_good_corpus_keeps_all(check, tmp_path):
    assert check() == {}
    page = (tmp_path / "page.html").read_text()
    assert "kept" in page and "no face found" in page and "http" not in page


@pytest.mark.parametrize(
    ("table", "column", "value", "contract", "row"),
    [
        ("clips", "clip_id", "a", "clip_id is unique", "a"),
        ("clips", "clip_id", "../b", "clip_id is a safe file name", "../b"),
        ("clips", "speaker", None, "speaker is never null", "b: speaker = None"),
        ("clips", "emotion", "furious", "emotion is null or one of", "b: emotion = furious"),
        ("clips", "level", 4, "level is null or 1 to 3", "b: level = 4"),
        ("clips", "fps", 30.0, "fps is 25", "b: fps = 30.0"),
        ("clips", "width", 64, "width is 128", "b: width = 64"),
        ("clips", "frames", 5, "length is 0.4 to 4 s", "b: frames = 5"),
        ("clips", "detection_rate", 0.5, "a face is found", "b: detection_rate = 0.5"),
        ("clips", "face_px", 10.0, "the face is at least 40 px", "b: face_px = 10.0"),
        ("clips", "end_s", 0.0, "a clip begins before it ends", "b: forward = False"),
        ("clips", "audio_s", 0.9, "sound and picture end within", "b: av_gap_s = 0.3"),
        ("sources", "status", "lost", "status is ok or failed", "b: status = lost"),
        ("sources", "status", "failed", "a failed item has a reason", "b: accounted = False"),
        ("quarantine", "reason", None, "reason is never null", "d: reason = None"),
    ],
)  # fmt: skip
def test_each_violation_is_caught_and_named(check, tmp_path, table, column, value, contract, row):
    broken = check(setter(table, column, value, 0 if table == "quarantine" else 1))
    (rows,) = [rows for name, rows in broken.items() if name.startswith(contract)]
    assert row in rows
    assert "broken" in (tmp_path / "page.html").read_text()


def test_too_few_clips_and_too_many_lost(check, contracts):
    broken = check(settings=contracts.model_copy(update={"min_clips": 4, "max_quarantined": 0.2}))
    assert broken["there are at least 4 clips"] == ["(the whole table)"]
    assert [rows for name, rows in broken.items() if name.startswith("at most 20%")] == [["d.mp4"]]


def test_columns_and_types(check):
    def change(frames):
        frames["clips"] = frames["clips"].drop(columns="sha256")

    assert check(change) == {"columns and types are the schema's": ["sha256: missing, not string"]}


def test_media_that_differ_from_the_table(check, contracts):
    broken = check(setter("clips", "frames", 14), contracts.model_copy(update={"sampled_media": 3}))
    (rows,) = broken.values()
    assert rows == ["b: 15 frames, the table says 14"]


def test_media_that_are_missing(check):
    (rows,) = check(setter("clips", "shard", "shard-00009.tar", 0)).values()
    assert rows[0].startswith("a: cannot be decoded")
