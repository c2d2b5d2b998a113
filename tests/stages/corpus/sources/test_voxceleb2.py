"""VoxCeleb2's track files: an item each, a video for each address."""

from __future__ import annotations

import pytest

from stages.corpus.sources import SourceError

HEAD = "Identity  : \tid00012\nReference : \t21Uxsk56VDQ\nOffset    : \t-2\nFV Conf   : \t10.251\t(1)\n\n"
TABLE = "FRAME \tX \tY \tW \tH \n"


def rows(first: int, count: int, box: str = "0.4 0.1 0.2 0.3") -> str:
    return "".join(f"{first + n:06d} \t{box}\n" for n in range(count))


@pytest.fixture
def track(corpus):
    def write(name: str, content: str) -> None:
        path = corpus / "txt" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return write


def test_items(take, put, track):
    track("id00012/21Uxsk56VDQ/00001.txt", HEAD + TABLE + rows(149, 100) + rows(249, 1, "0.9 0.9 0.01 0.01"))
    track("id00012/21Uxsk56VDQ/00002.txt", HEAD + TABLE + rows(0, 64, "-0.01 0.5 0.5 0.5"))
    track("id00017/21Uxsk56VD-/00001.txt", HEAD + TABLE + rows(25, 50))
    put("both", "videos/21Uxsk56VDQ.webm", "videos/21Uxsk56VD-.mp4")
    items, defects = take("voxceleb2")
    assert items.index.tolist() == [
        "id00012_21Uxsk56VDQ_00001", "id00012_21Uxsk56VDQ_00002", "id00017_21Uxsk56VD-_00001"
    ]  # fmt: skip
    first, second, third = items.to_dict("records")
    assert (first["speaker"], first["start_s"], first["end_s"]) == ("id00012", 5.96, 10.0)
    assert list(first["face"]) == [0.4, 0.1, 0.6, 0.4]
    assert list(second["face"]) == [0.0, 0.5, 0.49, 1.0] and (second["start_s"], second["end_s"]) == (0.0, 2.56)
    assert first["path"] == second["path"] != third["path"]
    assert (items["status"] == "ok").all() and len(defects) == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (HEAD, "no line FRAME X Y W H"),
        ("", "no line FRAME"),
        (HEAD + TABLE, "no frames"),
        (HEAD + TABLE + "000001 0.1 0.1 0.1\n", "not five numbers"),
        (HEAD + TABLE + rows(1, 2) + "000003 0.1 0.1 0.1\n", "not five numbers"),
        (HEAD + TABLE + "000001 a b c d\n", "not five numbers"),
        (HEAD + TABLE + "000001 nan 0.1 0.1 0.1\n", "not five numbers"),
        (HEAD + TABLE + rows(5, 2) + rows(4, 2), "do not rise"),
        (HEAD + TABLE + rows(5, 2, "120 80 64 64"), "not shares of the picture"),
        (HEAD + TABLE + rows(5, 2, "0.1 0.1 0 0.1"), "not shares of the picture"),
    ],
)
def test_malformed_tracks_are_defects(take, put, track, content, problem):
    track("id00012/21Uxsk56VDQ/00001.txt", content)
    track("id00012/21Uxsk56VDQ/00002.txt", HEAD + TABLE + rows(0, 64))
    put("both", "21Uxsk56VDQ.mp4")
    items, defects = take("voxceleb2")
    assert items.index.tolist() == ["id00012_21Uxsk56VDQ_00002"]
    assert defects["file"].tolist() == ["txt/id00012/21Uxsk56VDQ/00001.txt"] and problem in defects["problem"].iloc[0]


def test_part_of_the_tracks(take, put, track, corpus):
    """ingest.folder may be one speaker's."""
    track("id00012/21Uxsk56VDQ/00001.txt", HEAD + TABLE + rows(0, 64))
    put("both", "txt/id00012/21Uxsk56VDQ.mp4")
    items, _ = take("voxceleb2")
    assert items.index.tolist() == ["id00012_21Uxsk56VDQ_00001"]


def test_a_folder_of_links_to_some_speakers_and_to_videos(take, put, track, corpus, tmp_path):
    for speaker in ("id00012", "id00017"):
        track(f"{speaker}/21Uxsk56VDQ/00001.txt", HEAD + TABLE + rows(0, 64))
    put("both", "videos/21Uxsk56VDQ.mp4")
    whole = corpus.rename(tmp_path / "whole")
    corpus.mkdir()
    (corpus / "id00017").symlink_to(whole / "txt/id00017")
    (corpus / "mine").symlink_to(whole / "videos")
    items, _ = take("voxceleb2")
    assert items["status"].to_dict() == {"id00017_21Uxsk56VDQ_00001": "ok"}


def test_videos_of_no_track_are_said(take, put, track):
    track("id00012/21Uxsk56VDQ/00001.txt", HEAD + TABLE + rows(0, 64))
    put("both", "videos/21Uxsk56VDQ.mp4", "videos/other.mp4")
    _, defects = take("voxceleb2")
    assert defects[["kind", "file"]].to_numpy().tolist() == [["left out", "videos/other.mp4"]]


def test_nothing_to_use(take, put):
    put("both", "a.mp4")
    with pytest.raises(SourceError, match="no track files like txt/id00012"):
        take("voxceleb2")
