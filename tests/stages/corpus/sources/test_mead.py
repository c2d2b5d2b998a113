"""MEAD in all its layouts, and its holes."""

from __future__ import annotations

import pytest

from stages.corpus.sources import SourceError
from stages.corpus.sources.mead import STYLES

RAW = "M030/video/front/angry/level_3"
SOUND = "M030/audio/angry/level_3"


def labels(items) -> list[tuple]:
    return [(row.item_id, row.speaker, row.emotion, row.level, row.status) for row in items.itertuples()]


def test_the_published_layout(take, put):
    put("silent", f"{RAW}/001.mp4", f"{RAW}/002.mp4", "M030/video/left_30/angry/level_3/001.mp4")
    put("sound", f"{SOUND}/001.wav", f"{SOUND}/002.m4a", f"{SOUND}/003.wav")
    items, defects = take("mead")
    assert labels(items) == [(f"M030_front_angry_level3_00{n}", "M030", "angry", 3, "ok") for n in (1, 2)]
    assert items["audio_path"].str.contains("M030/audio/angry/level_3/00").all()
    assert items["origin"].tolist() == [f"{RAW}/00{n}.mp4" for n in (1, 2)]
    problems = defects["problem"].tolist()
    assert any(p.startswith("has nothing of angry level 1, angry level 2, contempt, disgusted, fear") for p in problems)
    assert any("angry level 3 2 of 30" in p for p in problems)
    assert any(p.startswith("1 sound files of M030 have no video") for p in problems)
    other, _ = take("mead", mead={"view": "left_30"})
    assert other.index.tolist() == ["M030_left_30_angry_level3_001"]


@pytest.mark.parametrize(
    "name",
    ["M030_front_angry_level3_001", "M030#angry#level_3#001", "M030_ang_3_001", "deep/er/M030_front_angry_level_3_001"],
)
def test_flattened_names_with_sound_inside_or_beside(take, put, name):
    put("both", f"{name}.mp4")
    items, _ = take("mead")
    assert labels(items) == [("M030_front_angry_level3_001", "M030", "angry", 3, "ok")]
    assert items["audio_path"].isna().all()
    put("silent", f"{name}.mp4")
    put("sound", f"{name}.wav")
    items, _ = take("mead")
    assert items["audio_path"].str.endswith(".wav").all() and (items["status"] == "ok").all()


def test_pairs_are_checked_by_duration(take, put):
    """Where a lost clip shifts the numbers, a video meets the sound of another sentence."""
    put("silent", f"{RAW}/001.mp4", f"{RAW}/002.mp4", f"{RAW}/003.mp4")
    put("sound", f"{SOUND}/001.wav")
    put("long", f"{SOUND}/002.wav")
    items, _ = take("mead")
    assert items["status"].tolist() == ["ok", "failed", "failed"]
    first, second = items["reason"].iloc[1:]
    assert first == (
        "lasts 0.40 s, the sound that belongs to it by its name ('002.wav') 2.00 s: not of one take "
        "(ingest.max_pair_gap_s: 0.2)"
    )
    assert second == "has no sound, inside or in a file of its own"


def test_pairs_that_fit_by_chance_among_shifted_ones_fail_too(take, put):
    put("silent", *(f"{RAW}/{n:03d}.mp4" for n in range(1, 8)), "M030/video/front/sad/level_3/001.mp4")
    put("sound", *(f"{SOUND}/{n:03d}.wav" for n in (1, 2, 5)), "M030/audio/sad/level_3/001.wav")
    put("long", *(f"{SOUND}/{n:03d}.wav" for n in (3, 4, 6, 7)))
    items, _ = take("mead")
    assert items["status"].tolist() == ["ok"] * 2 + ["failed"] * 5 + ["ok"]
    assert items["reason"].iloc[4] == (
        "its numbers seem shifted: 4 pairs from M030_front_angry_level3_003 on do not fit"
    )
    assert items["path"].iloc[2:7].isna().all()


def test_what_lies_beside_a_video_is_no_video(take, put, corpus):
    put("both", "M030_front_sad_level1_001.mp4")
    for suffix in ("jpg", "mat", "webp"):
        (corpus / f"M030_front_sad_level1_001.{suffix}").write_text("x")
    items, defects = take("mead")
    assert items["status"].tolist() == ["ok"] and "3 files not named as MEAD's" in defects["problem"].iloc[0]


def test_broken_files_fail_alone(take, put, corpus):
    put("both", "M003#sad#level_1#001.mp4")
    put("silent", "M003#sad#level_1#002.mp4")
    (corpus / "M003#sad#level_1#003.mp4").touch()
    (corpus / "M003#sad#level_1#004.mp4").write_text("no video")
    (corpus / "M003#sad#level_1#002.wav").touch()
    items, _ = take("mead")
    assert items["status"].tolist() == ["ok", "failed", "failed", "failed"]
    assert items["reason"].iloc[1] == "has its sound in 'M003#sad#level_1#002.wav', which is empty (zero bytes)"
    assert "zero bytes" in items["reason"].iloc[2]


def test_known_holes_are_said(take, put):
    put("both", "M003_front_sad_level1_001.mp4", "M011_front_sad_level1_001.mp4", "M030_front_sad_level1_002.mp4")
    put("both", "W017_down_sad_level1_001.mp4")
    items, defects = take("mead")
    assert items["speaker"].tolist() == ["M003", "M011", "M030"]
    by_actor = defects.groupby("item")["problem"].agg(" | ".join)
    assert "(known: a clip of it is lost" in by_actor["M003"]
    assert "lack some of its emotions" in by_actor["M011"]
    assert "sad level 1 1 of 30, without 001" in by_actor["M030"] and "known" not in by_actor["M030"]
    assert by_actor["W017"].startswith("has no view front, only down (known:")


def test_a_whole_actor_has_no_defect(take, put):
    counts = {style: 40 if style[0] == "neutral" else 30 for style in STYLES}
    put("both", *(f"M030_front_{e}_level{n}_{i + 1:03d}.mp4" for (e, n), count in counts.items() for i in range(count)))
    items, defects = take("mead")
    assert len(items) == 670 and len(defects) == 0


def test_other_files_and_doubles_are_said(take, put):
    put(
        "both",
        f"{RAW}/001.mp4",
        "M030#angry#level_3#001.mp4",
        "M030/video/front/furious/level_1/001.mp4",
        "x/readme.mp4",
    )
    items, defects = take("mead")
    assert len(items) == 1
    said = " | ".join(f"{row.file} {row.problem}" for row in defects.itertuples())
    assert "is a second video of M030_front_angry_level3_001" in said
    assert "M030/video/front/furious/level_1 1 file not named as MEAD's, such as '001.mp4'" in said


def test_nothing_to_use_says_what_to_do(take, put, corpus):
    with pytest.raises(SourceError, match=r"corpus is not a folder: put MEAD's extracted actor folders"):
        take("mead")
    put("both", "video.tar")
    with pytest.raises(SourceError, match=r"extract the \.tar files first"):
        take("mead")
    put("both", "W017_down_sad_level1_001.mp4")
    with pytest.raises(SourceError, match=r"no video of view 'front': ingest\.mead\.view may be down"):
        take("mead")
