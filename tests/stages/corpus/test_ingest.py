"""Every file of a folder ends as ok or failed, under a safe name, with the labels that are known."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import params as parameters
from stages import tables
from stages.corpus.encode import write_mp4
from stages.corpus.ingest import ingest, say
from stages.corpus.sources import SourceError
from stages.files import sha256, unquoted

NASTY = [
    "a b.mp4", "it's \"q\"; rm -rf x.mp4", "new\nline.mp4", "😀.mp4", "-dash.mp4", "Ünï/cødé.MP4", "$(touch x).mp4",
    "dir.with.dots/x.mp4.mov", "x" * 200 + ".mp4", "one_p01.mp4", "UP.mp4", "up.mp4", "s1/001.mp4",
    "s2/001.mp4", "001.mkv",
]  # fmt: skip


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "x.mp4"
    write_mp4(path, [np.zeros((16, 16, 3), np.uint8)] * 2, 25)
    return path


@pytest.fixture
def take(tmp_path, root, video):
    """Ingest a folder that holds the named videos; the table, by origin."""

    def run(names: list[str] = (), metadata: str | None = None) -> pd.DataFrame:
        (tmp_path / "in").mkdir(exist_ok=True)
        for name in names:
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(video, path)
        params = parameters.load(root / "params.yaml")
        settings = {"source": "folder", "folder": str(tmp_path / "in"), "metadata": metadata}
        params = params.model_copy(update={"ingest": params.ingest.model_copy(update=settings)})
        say(*ingest(params, tmp_path / "raw"))
        return tables.read(tmp_path / "raw/sources.parquet").set_index("origin", drop=False)

    return run


def test_names_of_all_kinds(take, tmp_path, video):
    table = take(NASTY)
    assert sorted(table.index) == sorted(NASTY)
    assert (table["status"] == "ok").all()
    assert table["item_id"].str.lower().is_unique
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,120}", name) for name in table["item_id"])
    assert not table["item_id"].str.contains(r"_p\d+$").any()  # such names are those of pieces
    assert set(table["sha256"]) == {sha256(video)}
    for row in table.itertuples():
        assert sha256(unquoted(row.path)) == row.sha256
    assert table.loc["s1/001.mp4", "item_id"] == "s1_001"
    again = take()
    assert again["item_id"].equals(table["item_id"])


def test_names_that_are_no_text(take, tmp_path, video):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (b"\xff\xfe.mp4", b"caf\xe9.mp4"):
        shutil.copyfile(video, folder / os.fsdecode(name))
    table = take()
    assert (table["status"] == "ok").all() and table["item_id"].is_unique
    assert sorted(table["origin"]) == ["caf\ufffd.mp4", "\ufffd\ufffd.mp4"]
    assert {unquoted(path).read_bytes() for path in table["path"]} == {video.read_bytes()}


def test_what_is_said(take, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for n in range(40):
        (tmp_path / f"in/zero{n}.mp4").touch()
    take(["a.mp4"])
    out = capsys.readouterr().out
    assert "ingest: failed: 'zero0.mp4' is empty (zero bytes) (and 39 more)" in out
    assert "ingest: 1 items are ok, 40 failed" in out


def test_speakers(take):
    table = take(["M030_front_angry_level3_001.mp4", "deep/W011_left_30_sad_level1_022.mp4", "ann/x/1.mp4", "bob.mp4"])
    labels = {row.origin: (row.speaker, row.emotion, row.level) for row in table.itertuples()}
    assert labels["M030_front_angry_level3_001.mp4"] == ("M030", "angry", 3)
    assert labels["deep/W011_left_30_sad_level1_022.mp4"] == ("W011", "sad", 1)
    assert labels["ann/x/1.mp4"][:2] == ("ann", None) and labels["ann/x/1.mp4"][2] is pd.NA
    assert labels["bob.mp4"][0] == "bob"


def test_bad_files_fail_with_their_reason_and_the_rest_goes_on(take, tmp_path, video):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "zero.mp4").touch()
    (folder / "fake.mp4").write_text("no video " * 50)
    (folder / "half.mp4").write_bytes(video.read_bytes()[:300])
    (folder / "alone.wav").write_bytes(b"RIFF")
    (folder / ".hidden.mp4").touch()
    table = take(["good.mp4"])
    failed = table[table["status"] == "failed"]
    assert sorted(failed.index) == ["alone.wav", "fake.mp4", "half.mp4", "zero.mp4"]
    assert "zero bytes" in table.loc["zero.mp4", "reason"]
    assert failed["reason"].notna().all() and failed["path"].isna().all()
    assert table.loc["good.mp4", "status"] == "ok"


def test_sound_beside_a_video_is_its_sound(take, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.wav").write_bytes(b"sound")
    table = take(["a.mp4", "b.mp4"])
    sound = unquoted(table.loc["a.mp4", "audio_path"])
    assert sound.read_bytes() == b"sound" and table.loc["a.mp4", "audio_sha256"] == sha256(sound)
    assert table.loc["b.mp4", "audio_path"] is None and len(table) == 2


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_metadata(take, tmp_path, suffix):
    (tmp_path / "in").mkdir()
    rows = [("s/a.mp4", "Ann", "happy", "2"), ("b.mp4", "Bob", None, None)]
    frame = pd.DataFrame(rows, columns=["file", "speaker", "emotion", "level"])
    getattr(frame, f"to_{suffix}")(tmp_path / f"in/labels.{suffix}", index=False)
    table = take(["s/a.mp4", "b.mp4", "c.mp4"], f"labels.{suffix}")
    assert list(table["speaker"]) == ["Bob", "c", "Ann"]
    assert table.loc["s/a.mp4", ["emotion", "level"]].tolist() == ["happy", 2]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["file,speaker,emotion,level", "a.mp4,A,joyful,1"], "'joyful' is not one of angry"),
        (["file,speaker,emotion,level", "a.mp4,A,sad,4"], "level '4'"),
        (["file,speaker", "z.mp4,A"], "row 1: no files 'z.mp4'"),
        (["file,speaker", "a.mp4,A", "a.mp4,B"], "row 2: 'a.mp4' is named twice"),
        (["name,speaker", "a.mp4,A"], "columns must be file"),
    ],
)
def test_wrong_metadata_name_the_row(take, tmp_path, lines, problem):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/labels.csv").write_text("\n".join(lines))
    with pytest.raises(SourceError, match=problem):
        take(["a.mp4"], "labels.csv")


def test_an_empty_folder_says_where_videos_go(take, tmp_path):
    with pytest.raises(SourceError, match=f"{tmp_path}/in has no files: put videos there"):
        take()


def test_no_good_file_at_all_is_an_error(take, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/zero.mp4").touch()
    with pytest.raises(SourceError, match=r"no item is a readable video: failed: 'zero\.mp4' is empty"):
        take()
