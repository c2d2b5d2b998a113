"""HDTF's lists as they are, and worse; the videos from local files or a server."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from stages.corpus.sources import Found, SourceError
from stages.corpus.sources.hdtf import speaker
from stages.corpus.sources.hdtf_lists import LISTS, read_lists
from tests.stages.corpus.video_server import Reply, serve

BAD_LINES = [
    "Passwd file:///etc/passwd",
    "../../evil https://host.invalid/a.mp4",
    "$(touch pwned) https://host.invalid/a.mp4",
    "Shell https://host.invalid/a.mp4; touch pwned",
    "-rf https://host.invalid/a.mp4",
    "Path ../../a.mp4",
    "Lonely",
]


@pytest.fixture
def lists(corpus: Path):
    """Write lists: ``lists("RD", video_url=[...], ...)``; absent ones are empty."""

    def write(subset: str = "RD", **lines: list[str]) -> None:
        corpus.mkdir(exist_ok=True)
        for kind in LISTS:
            (corpus / f"{subset}_{kind}.txt").write_text("".join(f"{line}\n" for line in lines.get(kind, [])))

    return write


ONE = {
    "video_url": ["A https://www.youtube.com/watch?v=aaaaaaaaaaa"],
    "annotion_time": ["A.mp4 00:00-00:10 01:00-01:30"],
    "resolution": ["A.mp4 720"],
    "crop_wh": ["A_0.mp4 144 360 36 360", "A_1.mp4 0 720 0 720"],
    "crop_ratio": ["A_0.mp4 1.2", "A_1.mp4 0.9"],
}
RD = {"hdtf": {"subsets": ["RD"]}}


def test_the_real_lists(shared):
    folder, found = shared / "hdtf_lists", Found()
    listed = [
        read_lists(found, folder, {kind: folder / f"{subset}_{kind}.txt" for kind in LISTS}, subset, fixed=True)
        for subset in ("RD", "WDA", "WRA")
    ]
    assert [len(each.urls) for each in listed] == [57, 183, 130]
    assert [len(each.spans) for each in listed] == [56, 183, 130]
    assert [len(each.clips()) for each in listed] == [66, 195, 175]
    hours = [sum(b - a for spans in each.spans.values() for a, b in spans) / 3600 for each in listed]
    assert hours == pytest.approx([1.20, 11.10, 4.77], abs=0.005)
    assert "CarolynMaloney2" in listed[1].urls
    counts = Counter((row["file"].partition("_")[2], row["problem"]) for row in found.defects)
    assert counts["crop_wh.txt", "has no row"] == 15 and counts["crop_ratio.txt", "has no row"] == 0
    by_item = {(row["file"], row["item"]): row for row in found.defects}
    assert by_item["RD_video_url.txt", "Radio24"]["problem"] == "has no row of times"
    assert by_item["RD_video_url.txt", "Radio24"]["row"] == 24
    assert by_item["WRA_resolution.txt", "KevinMcCarthy1"]["row"] == 76
    assert by_item["WRA_annotion_time.txt", "MittRomney"]["problem"] == "has clips that overlap"
    assert sum(row["problem"].endswith("stray parameters") for row in found.defects) == 13
    assert sum(row["problem"] == "has blanks at an end" for row in found.defects) == 7
    assert sum("byte-order mark" in row["problem"] for row in found.defects) == 1
    assert sum("below the listed height" in row["problem"] for row in found.defects) == 3
    assert sum(len(each.windows) for each in listed) == 421 - 3 - 2  # those too low, and those without a resolution


def test_all_clips_of_the_real_lists_from_local_files(take, put, corpus, shared):
    shutil.copytree(shared / "hdtf_lists", corpus)
    names = {line.split()[0] for path in corpus.glob("*_annotion_time.txt") for line in path.read_text().splitlines()}
    put("both", *(f"videos/{name}" for name in names))
    items, _ = take("hdtf")
    assert len(items) == 436 and (items["status"] == "ok").all()
    assert items["window"].notna().sum() == 416
    assert items.loc["KevinMcCarthy1_0", "zoom"] == 1.2
    assert items.loc["Radio11_1", ["start_s", "end_s"]].tolist() == [90.0, 150.0]


@pytest.mark.parametrize("name", ["A.mp4", "deep/er/RD_A.webm", "aaaaaaaaaaa.mkv"])
def test_local_files_are_used_without_network(take, put, lists, name):
    lists(**ONE)
    put("both", name)
    items, defects = take("hdtf", **RD)
    assert items.index.tolist() == ["A_0", "A_1"] and (items["status"] == "ok").all()
    assert items["path"].str.endswith(name).all()
    assert [list(window) for window in items["window"]] == [[0.2, 0.05, 0.5, 0.5], [0, 0, 1, 1]]
    assert items["zoom"].isna().all() and items["speaker"].tolist() == ["A", "A"]
    assert items[["start_s", "end_s"]].to_numpy().tolist() == [[0, 10], [60, 90]]
    assert items["origin"].iloc[0] == "https://www.youtube.com/watch?v=aaaaaaaaaaa"
    assert len(defects) == 0


def test_the_other_protocol(take, put, lists):
    lists(**ONE)
    put("both", "A.mp4")
    items, _ = take("hdtf", hdtf={"subsets": ["RD"], "window": "zoom"})
    assert items["window"].isna().all() and items["zoom"].tolist() == [1.2, 0.9]


@pytest.mark.parametrize(("window", "file"), [("fixed", "RD_crop_wh.txt"), ("zoom", "RD_crop_ratio.txt")])
def test_clips_without_a_row_are_said_of_the_list_that_is_used(take, put, lists, window, file):
    lists(**ONE | {"crop_wh": ONE["crop_wh"][:1], "crop_ratio": ONE["crop_ratio"][:1]})
    put("both", "A.mp4")
    _, defects = take("hdtf", hdtf={"subsets": ["RD"], "window": window})
    assert defects[["file", "item", "problem"]].to_numpy().tolist() == [[file, "A_1", "has no row"]]


@pytest.mark.parametrize("kind", ["video_url", "resolution", "crop_wh"])
def test_an_empty_list_is_one_defect(take, put, lists, kind):
    lists(**ONE | {kind: []})
    put("both", "A.mp4")
    items, defects = take("hdtf", **RD)
    assert items.index.tolist() == ["A_0", "A_1"] and (items["status"] == "ok").all()
    said = defects.loc[~defects["problem"].str.contains("no usable resolution"), ["file", "problem"]]
    assert said.to_numpy().tolist() == [[f"RD_{kind}.txt", "is empty"]]


def test_defects_leave_every_usable_clip(take, put, lists):
    lists(
        video_url=["\ufeffA https://www.youtube.com/watch?v=aaaaaaaaaaa&t=5s", *ONE["video_url"], "C http://[bad"],
        annotion_time=[
            "A.mp4 00:00-00:10 9-10 00:20-00:15 1:00:00-1:00:05.5 ",
            "B.mp4 00:01-00:02",
            "C.mp4 00:01-00:02",
        ],
        resolution=["A.mp4 0", "B.mp4 x", "C.mp4 100"],
        crop_wh=["A_0.mp4 1 2 3 4", "C_0.mp4 0 99 2 99", "C_0.mp4 1 1 1", "D_0.mp4 1 1 1 1"],
        crop_ratio=["A_0.mp4 nan", "A_3.mp4 1.1 2", "C_0.mp4 1.5"],
    )
    put("both", "A.mp4", "B.mp4", "C.mp4")
    items, defects = take("hdtf", **RD)
    assert items.index.tolist() == ["A_0", "A_3", "B_0", "C_0"] and (items["status"] == "ok").all()
    assert items.loc["A_3", ["start_s", "end_s"]].tolist() == [3600.0, 3605.5]
    assert items["zoom"].dropna().to_dict() == {"C_0": 1.5} and items["window"].isna().all()
    said = {(row.file.removeprefix("RD_").removesuffix(".txt"), row.row, row.problem) for row in defects.itertuples()}
    for expected in [
        ("video_url", 1, "begins with a byte-order mark"),
        ("video_url", 1, "https://www.youtube.com/watch?v=aaaaaaaaaaa&t=5s has stray parameters"),
        ("video_url", 2, "is named in line 1 already"),
        ("annotion_time", 1, "has blanks at an end"),
        ("annotion_time", 1, "'9-10' is no time span such as 00:20-01:35"),
        ("annotion_time", 1, "'00:20-00:15' does not end after it begins"),
        ("annotion_time", 2, "has no address"),
        ("resolution", 1, "0 is not above 0"),
        ("resolution", 2, "'x' is not a number"),
        ("crop_wh", 1, "has no usable resolution"),
        ("crop_wh", 2, "its window ends at 101 px, below the listed height of 100"),
        ("crop_wh", 3, "is named in line 2 already"),
        ("crop_wh", 4, "is a clip that has no times"),
        ("crop_ratio", 1, "nan is not above 0"),
        ("crop_ratio", 2, "has 2 values, not 1: '1.1 2'"),
    ]:
        assert expected in said


def test_hostile_lines_harm_no_other(take, put, lists, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["Passwd", "../../evil", "$(touch", "Shell", "-rf", "Path", "Lonely", "Good"]
    lists(
        video_url=[*BAD_LINES, "Good https://www.youtube.com/watch?v=aaaaaaaaaaa"],
        annotion_time=[f"{name}.mp4 00:00-00:01" for name in names],
    )
    put("both", "aaaaaaaaaaa.mp4")
    items, defects = take("hdtf", **RD)
    assert items.loc[items["status"] == "ok", "item_id"].tolist() == ["Good_0"]
    assert sorted(items.index) == ["Good_0", "Lonely_0", "Passwd_0", "Path_0", "Shell_0"]
    assert "only http and https" in items.loc["Passwd_0", "reason"] and "only http" in items.loc["Path_0", "reason"]
    assert items.loc["Shell_0", "reason"] == "has no address, and no file below ingest.folder"
    rows = defects[defects["file"] == "RD_video_url.txt"]
    assert set(rows["row"].dropna()) == set(range(1, 8))
    assert not list(tmp_path.rglob("pwned*")) and not (tmp_path / "downloads").exists()


def test_lines_that_are_no_text(take, put, lists, corpus):
    lists(**ONE)
    (corpus / "RD_video_url.txt").write_bytes(
        b"\xff\xfe\x00 x\nB\x00 y\r\nA https://www.youtube.com/watch?v=aaaaaaaaaaa\r\n"
    )
    put("both", "A.mp4")
    items, defects = take("hdtf", **RD)
    assert (items["status"] == "ok").all()
    assert (
        defects["row"].tolist() == [1, 2]
        and defects["problem"].str.contains("does not begin with a video's name").all()
    )


def test_videos_are_downloaded_once_each(take, lists, media, monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as server:
        server.replies |= {"a.mp4": Reply(media["both"].read_bytes()), "b.mp4": Reply(statuses=[404])}
        lists(
            video_url=[f"A {server.url('a.mp4')}", f"B {server.url('b.mp4')}"],
            annotion_time=["A.mp4 00:00-00:01 00:02-00:03", "B.mp4 00:00-00:01"],
        )
        items, _ = take("hdtf", **RD)
        asked = len(server.requests)
        again, _ = take("hdtf", **RD)
        assert len(server.requests) == asked
    assert items.equals(again)
    assert items["status"].tolist() == ["ok", "ok", "failed"]
    assert items.loc["A_0", "path"] == items.loc["A_1", "path"] == str(tmp_path / "downloads/A.mp4")
    assert items.loc["B_0", "reason"] == "could not be downloaded (permanent): HTTP 404 Not Found"


def test_videos_that_no_list_names_are_said(take, put, lists):
    lists(**ONE)
    put("both", "A.mp4", "cut/RD_A_000.mp4", "cut/WDA_AdamSmith_000.mp4")
    items, defects = take("hdtf", **RD)
    assert (items["status"] == "ok").all()
    assert defects[["kind", "file"]].to_numpy().tolist() == [["left out", "cut/RD_A_000.mp4"]]
    assert defects["problem"][0].startswith("2 videos are named as none in the lists")


def test_what_is_not_there_fails_without_downloads(take, put, lists):
    lists(**ONE | {"annotion_time": [*ONE["annotion_time"], "B.mp4 00:00-00:01"], "video_url": [
        *ONE["video_url"], "B https://www.youtube.com/watch?v=bbbbbbbbbbb"]})  # fmt: skip
    put("both", "A.mp4")
    items, _ = take("hdtf", **RD, download={"enabled": False})
    assert items["status"].tolist() == ["ok", "ok", "failed"]
    assert items.loc["B_0", "reason"] == (
        "could not be downloaded: ingest.download.enabled is false: put it below ingest.folder as 'bbbbbbbbbbb.mp4' "
        "or the like, or set that to true"
    )


def test_a_missing_list_is_named(take, lists, corpus):
    lists(**ONE)
    (corpus / "RD_crop_wh.txt").unlink()
    with pytest.raises(SourceError, match=r"corpus lacks RD_crop_wh\.txt: HDTF's lists belong there"):
        take("hdtf", **RD)


def test_speakers():
    assert [speaker("WDA", name) for name in ("CoryGardner", "CoryGardner1", "42")] == [
        "CoryGardner",
        "CoryGardner",
        "42",
    ]
    assert speaker("RD", "Radio12") == "Radio12"
