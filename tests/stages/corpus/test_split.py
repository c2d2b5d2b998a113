"""No test speaker is trained on, everything is deterministic, and small corpora still split."""

from __future__ import annotations

import pandas as pd
import pytest

from stages import tables
from stages.corpus.split import split, style
from stages.params import Split

SETTINGS = Split(test_speakers=2, val_speakers=1, test_clips_per_style=1)


def clips(speakers: int, emotions: tuple, takes: int) -> pd.DataFrame:
    return tables.from_rows(
        [
            {"clip_id": f"{s}_{e}_{i}", "speaker": f"S{s}", "emotion": e, "level": 1 if e else None, "frames": 50 + i}
            for s in range(speakers)
            for e in emotions
            for i in range(takes)
        ],
        tables.CLIPS,
    )


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
def test_one_speaker_is_split_by_clip_with_a_loud_warning(emotions, takes):
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
    assert len(warnings) == 2


def test_style_names():
    assert style("M030", "angry", 3) == "M030/angry/3"
    assert style("Ann", None, pd.NA) == "Ann/unknown/0"
