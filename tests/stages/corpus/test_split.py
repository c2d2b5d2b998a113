"""No test speaker is trained on, everything is deterministic, and small corpora still split."""

from __future__ import annotations

import re
import time

import pandas as pd
import pytest

from stages import tables
from stages.corpus.split import SplitError, split
from stages.corpus.together import MeadError, sentences, styles, videos
from stages.params import Split

SETTINGS = Split(
    protocol="speakers", test_speakers=2, val_speakers=1, test_clips_per_style=1,
    mead_neutral_sentences=10, mead_other_sentences=6,
)  # fmt: skip
PROTOCOL = SETTINGS.model_copy(update={"protocol": "mead_sentences"})


def clips(speakers: int, emotions: tuple, takes: int, pieces: int = 1) -> pd.DataFrame:
    """Clips S0_sad_0, or S0_sad_0_p01, _p02 where a take was cut."""
    return tables.from_rows(
        [
            {
                "clip_id": f"{s}_{e}_{i}" + (f"_p{piece + 1:02d}" if pieces > 1 else ""),
                "speaker": f"S{s}",
                "emotion": e,
                "level": 1 if e else None,
                "frames": 50 + i + piece,
            }
            for s in range(speakers)
            for e in emotions
            for i in range(takes)
            for piece in range(pieces)
        ],
        tables.CLIPS,
    )


def mead(names: list[str]) -> pd.DataFrame:
    rows = []
    for name in names:
        speaker, emotion, level = re.match(r"(\w+?)_.*_([a-z]+)_level(\d)", name).groups()
        rows.append(
            {"clip_id": name, "speaker": speaker, "emotion": emotion, "level": int(level), "frames": 50,
             "source_file": f"{name.split('_p')[0]}.mp4"}
        )  # fmt: skip
    return tables.from_rows(rows, tables.CLIPS)


def parts_of_videos(corpus: pd.DataFrame, table: pd.DataFrame) -> pd.Series:
    """How many parts of the split each video is in."""
    together = videos(corpus).set_axis(corpus["clip_id"])
    return table.set_index("clip_id")["split"].groupby(together).nunique()


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return split(clips(8, ("angry", "sad", "neutral"), 3), SETTINGS, seed=0)[0]


def test_speakers_are_apart(table):
    roles = table.groupby("speaker")["split"].agg(set)
    assert sorted(map(sorted, roles)) == [["judge", "test"]] * 2 + [["train"]] * 5 + [["val"]]
    test = table[table["split"] == "test"]
    assert test.groupby("style").size().tolist() == [1] * 6


@pytest.mark.parametrize("seed", range(5))
def test_speakers_with_clips_to_spare_are_tested_first(seed):
    once = clips(6, ("angry", "sad"), 1)
    often = clips(8, ("angry", "sad"), 3)
    often = often[often["speaker"].isin(["S6", "S7"])]
    table, warnings = split(pd.concat([once, often]), SETTINGS, seed)
    assert set(table.loc[table["split"].isin(["test", "judge"]), "speaker"]) == {"S6", "S7"}
    assert (table["split"] == "judge").sum() == 8 and not warnings


def test_partners(table, tmp_path):
    tables.write(table, tables.SPLIT, tmp_path / "split.parquet")
    by_id = table.set_index("clip_id")
    portrait, audio = by_id.loc[table["portrait_clip_id"]], by_id.loc[table["other_audio_clip_id"]]
    for other in (portrait, audio):
        assert list(other["speaker"]) == list(table["speaker"])
        assert (other["style"].to_numpy() != table["style"].to_numpy()).all()
    assert list(audio["split"]) == list(table["split"])


def test_the_seed_decides_and_the_order_of_rows_does_not(table):
    corpus = clips(8, ("angry", "sad", "neutral"), 3)
    assert split(corpus.sample(frac=1, random_state=1), SETTINGS, 0)[0].equals(table)
    assert not split(corpus, SETTINGS, 1)[0]["split"].equals(table["split"])


@pytest.mark.parametrize(
    ("speakers", "expected"),
    [
        (2, {"train": 1, "test": 1}),
        (3, {"train": 1, "val": 1, "test": 1}),
        (4, {"train": 2, "val": 1, "test": 1}),
        (6, {"train": 3, "val": 1, "test": 2}),
    ],
)
def test_few_speakers(speakers, expected):
    table, warnings = split(clips(speakers, ("sad",), 1), SETTINGS, 0)
    assert table.groupby("split")["speaker"].nunique().to_dict() == expected
    assert bool(warnings) == (speakers < 6)


@pytest.mark.parametrize(("emotions", "takes"), [(("sad", "fear"), 3), ((None,), 2), (("sad", "fear"), 1)])
def test_one_speaker_is_split_by_video_with_a_loud_warning(emotions, takes):
    table, warnings = split(clips(1, emotions, takes), SETTINGS, 0)
    assert set(table["split"]) == ({"train", "val", "test"} if takes * len(emotions) > 2 else {"train", "test"})
    assert "ONE SPEAKER" in warnings[0]


def test_one_clip():
    table, warnings = split(clips(1, ("sad",), 1), SETTINGS, 0)
    assert table.loc[0, ["split", "portrait_clip_id", "other_audio_clip_id"]].tolist() == [
        "train",
        "0_sad_0",
        "0_sad_0",
    ]
    assert [warning.partition(":")[0] for warning in warnings[1:]] == ["ONE CLIP", "ONE VIDEO to train on"]


def test_portraits_of_unknown_style_are_of_another_video() -> None:
    corpus = clips(2, (None,), 2, pieces=3)
    table, _ = split(corpus, SETTINGS, 0)
    video = table.set_index("clip_id")["together"]
    assert (video[table["portrait_clip_id"]].to_numpy() != table["together"]).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("speakers", [1, 2, 5])
@pytest.mark.parametrize("emotions", [("sad", "fear"), (None,)])
def test_pieces_of_a_video_stay_together(speakers, emotions, seed):
    corpus = clips(speakers, emotions, 4, pieces=3)
    table, _ = split(corpus, SETTINGS, seed)
    assert (parts_of_videos(corpus, table) == 1).all()
    assert {"train", "val", "test"} <= set(table["split"])


def test_pieces_are_known_by_their_source_file_too():
    corpus = clips(1, (None,), 6)
    corpus["source_file"] = ["long.mp4"] * 3 + ["a.mp4", "b.mp4", "c.mp4"]
    for seed in range(5):
        assert (parts_of_videos(corpus, split(corpus, SETTINGS, seed)[0]) == 1).all()


def test_one_video_leaves_nothing_to_test_on():
    table, warnings = split(clips(1, ("sad",), 1, pieces=5), SETTINGS, 0)
    assert set(table["split"]) == {"train"}
    assert warnings[1].startswith("ONE VIDEO")


def test_named_speakers():
    settings = SETTINGS.model_copy(update={"test_speakers": ["S1", "S4"], "val_speakers": ["S0"]})
    table, warnings = split(clips(6, ("sad", "fear"), 2), settings, 0)
    roles = {speaker: set(part["split"]) for speaker, part in table.groupby("speaker")}
    assert roles == {
        "S0": {"val"}, "S1": {"test", "judge"}, "S2": {"train"}, "S3": {"train"}, "S4": {"test", "judge"},
        "S5": {"train"},
    }  # fmt: skip
    assert not warnings


def test_named_speakers_are_never_given_up():
    settings = SETTINGS.model_copy(update={"test_speakers": ["S1", "S2"]})
    table, warnings = split(clips(4, ("sad",), 2), settings, 0)
    assert set(table.loc[table["split"].isin(["test", "judge"]), "speaker"]) == {"S1", "S2"}
    assert warnings[0] == "only 4 speakers: 0 for val instead of 1, so that some are left to train on"
    assert "stand in" in warnings[1]


@pytest.mark.parametrize(
    ("update", "says"),
    [
        ({"test_speakers": ["M003", "S1"]}, "split.test_speakers names M003, not in this corpus; it has S0, S1, S2"),
        ({"val_speakers": ["s0"]}, "split.val_speakers names s0"),
        ({"test_speakers": ["S0"], "val_speakers": ["S0"]}, "S0 cannot be in both"),
        ({"test_speakers": ["S0", "S1", "S2"]}, "nothing is left to train on"),
    ],
)
def test_names_that_cannot_be(update, says):
    with pytest.raises(SplitError, match=says):
        split(clips(3, ("sad",), 1), SETTINGS.model_copy(update=update), 0)


def test_the_last_sentences_there_are_tested_under_meads_protocol():
    there = [1, 2, 3, 5, 8, 9, 10, 12, 13, 20, 21, 22, 40]
    names = [f"M003_front_{e}_level{n}_{i:03d}" for e, n in (("neutral", 1), ("angry", 1), ("angry", 3)) for i in there]
    table, warnings = split(mead(names), PROTOCOL, 0)
    tested = table[table["split"] == "test"].groupby("style")["clip_id"].apply(lambda ids: [int(i[-3:]) for i in ids])
    assert tested.to_dict() == {
        "M003/neutral/1": there[-10:], "M003/angry/1": there[-6:], "M003/angry/3": there[-6:],
    }  # fmt: skip
    assert set(table["split"]) == {"train", "val", "test"} and len(warnings) == 1


def test_views_and_pieces_of_a_sentence_stay_together():
    names = [
        f"W009_{view}_sad_level2_{i:03d}{piece}"
        for view in ("front", "left_30", "sub_folder") for i in range(1, 21) for piece in ("_p01", "_p02")
    ]  # fmt: skip
    corpus = mead(names)
    table, _ = split(corpus, PROTOCOL, 0)
    owner = sentences(corpus).set_axis(corpus["clip_id"])
    assert (table.set_index("clip_id")["split"].groupby(owner).nunique() == 1).all()
    assert (table["split"] == "test").sum() == 6 * 6


def test_a_style_group_that_is_all_test_is_a_warning():
    names = [f"M003_front_{e}_level1_{i:03d}" for e, count in (("sad", 9), ("fear", 4)) for i in range(count)]
    assert split(mead(names), PROTOCOL, 0)[1][0] == "1 style groups have test sentences only: M003/fear/1"
    with pytest.raises(SplitError, match="nothing is left to train on: 1 style groups"):
        split(mead(names[-4:]), PROTOCOL, 0)


def test_a_corpus_that_is_not_mead_is_told_so():
    with pytest.raises(MeadError, match=r"M030_front_angry_level3_001.*0_sad_0, 0_sad_1"):
        split(clips(1, ("sad",), 2), PROTOCOL, 0)


def test_style_names():
    rows = [{"speaker": "M030", "emotion": "angry", "level": 3}, {"speaker": "Ann", "emotion": "sad"},
            {"speaker": "Ann", "level": 2}]  # fmt: skip
    named = list(styles(tables.from_rows(rows, tables.CLIPS)))
    assert named == ["M030/angry/3", "Ann/sad/0", "Ann/unknown/0"]


def test_a_hundred_thousand_clips_are_split_in_seconds():
    corpus = clips(2000, ("sad", "fear", "angry"), 17)
    begin = time.process_time()
    split(corpus, SETTINGS, 0)
    assert time.process_time() - begin < 10
