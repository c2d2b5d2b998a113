"""Every file of a folder ends as ok or failed, under a safe name, with the labels that are known."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages import params as parameters
from stages import tables
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.ingest import ingest, say
from stages.corpus.sources import Found, SourceError
from stages.files import sha256, unquoted
from tests.stages.corpus.tiny_videos import RATE, hum

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


@pytest.fixture
def remarks(tmp_path):
    """File, problem and consequence of what is noted."""

    def read() -> list[tuple]:
        defects = tables.read(tmp_path / "raw/defects.parquet")
        return list(defects[["file", "problem", "consequence"]].itertuples(index=False, name=None))

    return read


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


def test_reasons_that_differ_in_names_and_numbers_are_said_once(take, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    names = ["a", "b's", "c (2)", "x002"]
    for seconds, name in enumerate(names, start=1):
        write_wav(tmp_path / f"in/{name}.wav", hum(seconds), RATE)
        (tmp_path / f"in/gone {name}.mp4").symlink_to(f"nowhere {name}")
    take([*(f"{name}.mp4" for name in names), "good.mp4"])
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ingest: failed")]
    assert len(failed) == 2
    assert failed[0].startswith("ingest: failed: 'a.mp4' lasts 0.08 s") and failed[0].endswith("(and 3 more)")
    assert failed[1] == "ingest: failed: 'gone a.mp4' is a link to nothing ('nowhere a') (and 3 more)"


def test_remarks_on_a_file_that_are_alike_are_said_once(capsys):
    found = Found([{"item_id": "a", "status": "ok"}])
    for n in range(3):
        found.defect("list.txt", f"{n}:00 is no time span", "the clip is not used", row=n + 1, item=f"A_{n}")
    found.defect("other.txt", "has no row", "its zoom is 1", item="A_0")
    say(tables.from_rows(found.items, tables.SOURCES), tables.from_rows(found.defects, tables.DEFECTS))
    assert capsys.readouterr().out.splitlines()[:2] == [
        "ingest: defect: list.txt line 1: A_0: 0:00 is no time span (the clip is not used); 2 more remarks "
        "like this on the file",
        "ingest: defect: other.txt: A_0: has no row (its zoom is 1)",
    ]


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
    (folder / ".hidden.mp4").touch()
    table = take(["good.mp4"])
    failed = table[table["status"] == "failed"]
    assert sorted(failed.index) == ["fake.mp4", "half.mp4", "zero.mp4"]
    assert "zero bytes" in table.loc["zero.mp4", "reason"]
    assert failed["reason"].notna().all() and failed["path"].isna().all()
    assert table.loc["good.mp4", "status"] == "ok"


def test_sound_beside_a_video_is_its_sound(take, tmp_path):
    (tmp_path / "in").mkdir()
    write_wav(tmp_path / "in/a.wav", hum(0.08), RATE)
    table = take(["a.mp4", "b.mp4"])
    sound = unquoted(table.loc["a.mp4", "audio_path"])
    assert sound == tmp_path / "in/a.wav" and table.loc["a.mp4", "audio_sha256"] == sha256(sound)
    assert table.loc["b.mp4", "audio_path"] is None and len(table) == 2


def test_sound_of_another_length_is_not_a_videos_sound(take, tmp_path):
    (tmp_path / "in").mkdir()
    write_wav(tmp_path / "in/a.wav", hum(2), RATE)
    table = take(["a.mp4", "b.mp4"])
    assert "lasts 0.08 s" in table.loc["a.mp4", "reason"] and "not of one take" in table.loc["a.mp4", "reason"]
    assert table.loc["b.mp4", "status"] == "ok"


def test_which_sound_is_used_is_said(take, remarks, tmp_path):
    (tmp_path / "in").mkdir()
    write_wav(tmp_path / "in/a.wav", hum(0.4), RATE)
    shutil.copyfile(tmp_path / "in/a.wav", tmp_path / "in/a.m4a")
    write_mp4(tmp_path / "in/a.mp4", [np.zeros((16, 16, 3), np.uint8)] * 10, 25, hum(0.4), RATE)
    table = take()
    assert unquoted(table.loc["a.mp4", "audio_path"]).name == "a.wav"
    assert remarks() == [
        ("a.m4a", "is a second sound of its video", "'a.wav' is used"),
        ("a.mp4", "1 with a sound file beside the video have sound of their own, this one first",
         "the sound file beside it is used"),
    ]  # fmt: skip


def test_other_files_are_left_out_with_a_remark_a_suffix(take, remarks, tmp_path, video):
    folder = tmp_path / "in"
    folder.mkdir()
    picture = Image.new("RGB", (16, 16))
    for name in ("1.png", "2.PNG", "3.jpg", "4.webp", "5.bmp"):
        picture.save(folder / name)
    picture.save(folder / "6.gif", save_all=True, append_images=[Image.new("RGB", (16, 16), "red")] * 9)
    write_wav(folder / "alone.wav", hum(0.1), RATE)
    (folder / "notes.txt").write_text("no video\n" * 50)
    (folder / "README").write_text("none")
    (folder / "broken.xyz").write_bytes(video.read_bytes()[:300])
    table = take(["a.mp4", "film.dat", "film"])
    assert sorted(table.index) == ["a.mp4", "film", "film.dat"] and (table["status"] == "ok").all()
    assert remarks() == [
        ("1.png", "files with suffix .png: 2, this one first", "not used: no videos"),
        ("3.jpg", "files with suffix .jpg: 1, this one first", "not used: no videos"),
        ("4.webp", "files with suffix .webp: 1, this one first", "not used: no videos"),
        ("5.bmp", "files with suffix .bmp: 1, this one first", "not used: no videos"),
        ("6.gif", "files with suffix .gif: 1, this one first", "not used: no videos"),
        ("README", "files without suffix: 1, this one first", "not used: no videos"),
        ("alone.wav", "files with suffix .wav: 1, this one first", "not used: sound of no video"),
        ("broken.xyz", "files with suffix .xyz: 1, this one first", "not used: no videos"),
        ("notes.txt", "files with suffix .txt: 1, this one first", "not used: no videos"),
    ]


def test_links_are_followed_once(take, tmp_path, video):
    away = tmp_path / "away"
    (away / "deep").mkdir(parents=True)
    shutil.copyfile(video, away / "deep/x.mp4")
    (away / "deep/up").symlink_to(away)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/ann").symlink_to(away)
    (tmp_path / "in/me").symlink_to(tmp_path / "in")
    (tmp_path / "in/file.mp4").symlink_to(video)
    assert sorted(take().index) == ["ann/deep/x.mp4", "file.mp4"]


def test_what_is_no_file_fails_with_its_reason(take, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "gone.mp4").symlink_to("nowhere.mp4")
    (folder / "round.mp4").symlink_to("round.mp4")
    (folder / "empty.mp4").mkdir()
    for name in ("pipe.mp4", "ok.wav", "notes"):
        os.mkfifo(folder / name)
    table = take(["ok.mp4", "good.mp4"])
    assert table["reason"].dropna().to_dict() == {
        "gone.mp4": "is a link to nothing ('nowhere.mp4')",
        "round.mp4": "is a link to nothing ('round.mp4')",
        "empty.mp4": "is a folder, not a file",
        "pipe.mp4": "is a pipe, a socket or a device, not a file",
        "ok.mp4": "has its sound in 'ok.wav', which is a pipe, a socket or a device, not a file",
    }
    assert table.loc["good.mp4", "status"] == "ok" and len(table) == 6


def test_a_folder_that_cannot_be_read_is_named(take, tmp_path, monkeypatch):
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    (tmp_path / "in/shut").mkdir(parents=True)
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match=r"in/shut cannot be read \(Permission denied\): permit it"):
        take(["a.mp4"])


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_metadata(take, tmp_path, suffix):
    (tmp_path / "in").mkdir()
    rows = [("s/a.mp4", "Ann", "happy", "2"), ("b.mp4", "Bob", None, None)]
    frame = pd.DataFrame(rows, columns=["file", "speaker", "emotion", "level"])
    getattr(frame, f"to_{suffix}")(tmp_path / f"in/labels.{suffix}", index=False)
    table = take(["s/a.mp4", "b.mp4", "c.mp4"], f"labels.{suffix}")
    assert list(table["speaker"]) == ["Bob", "c", "Ann"]
    assert table.loc["s/a.mp4", ["emotion", "level"]].tolist() == ["happy", 2]


def test_labels_are_as_they_stand_but_for_blanks(take, tmp_path):
    (tmp_path / "in").mkdir()
    lines = [
        "\ufefffile,speaker ,emotion,level",
        "1.mp4,NA, happy , 2 ",
        "2.mp4,None,,",
        "3.mp4,null",
        '"4,.mp4",nan,sad,3',
    ]
    (tmp_path / "in/labels.csv").write_text("\r\n".join(lines), encoding="utf-8")
    table = take(["1.mp4", "2.mp4", "3.mp4", "4,.mp4"], "labels.csv")
    assert list(table["speaker"]) == ["NA", "None", "null", "nan"]
    assert list(table["emotion"]) == ["happy", None, None, "sad"]
    assert list(table["level"].dropna()) == [2, 3]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["file,speaker,emotion,level", "a.mp4,A,joyful,1"], "'joyful' is not one of angry"),
        (["file,speaker,emotion,level", "a.mp4,A,sad,4"], "level '4'"),
        (["file,speaker", "z.mp4,A"], "line 2: no files 'z.mp4'"),
        (["file,speaker", "a.mp4,A", "", ",", "a.mp4,B"], "line 5: 'a.mp4' is named twice"),
        (["speaker,emotion,level,file", "M003,sad,1,z.mp4", "M003,angry"], "'z.mp4'.*\n  line 3: names no file"),
        (["file,speaker", "a.mp4,A", " ,A"], "line 3: names no file"),
        (["name,speaker", "a.mp4,A"], "columns must be file"),
        (["file,file", "a.mp4,A"], "columns must be file"),
        ([], "columns must be file"),
        (["file,speaker", "a.mp4,Ann,B"], "line 2: more values than the 2 columns"),
        (["file,speaker,emotion", "a.mp4,A,sad", "a.mp4,Ann,B,sad"], "line 3: more values than the 3 columns"),
        (["file,speaker", 'a.mp4,"Ann'], "is neither CSV"),
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


def test_a_folder_without_a_video_says_what_is_in_it(take, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.txt").write_text("none")
    with pytest.raises(SourceError, match="no item is a readable video: there is none"):
        take()
    said = "ingest: left out: notes.txt: files with suffix .txt: 1, this one first (not used: no videos)"
    assert said in capsys.readouterr().out
