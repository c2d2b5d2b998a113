"""RAVDESS: what the names say, what params make of it, and what is left out."""

from __future__ import annotations

import pytest

from stages import params as parameters
from stages.corpus.sources import SourceError
from stages.params import ParamsError


def left_out(defects) -> dict[str, str]:
    return {row.problem: row.consequence for row in defects.itertuples() if row.kind == "left out"}


def test_fields_are_mapped_as_declared(take, put):
    put("both", *(f"Actor_12/01-01-{emotion:02d}-01-02-01-12.mp4" for emotion in range(1, 9)))
    put("both", "Actor_12/01-01-06-02-02-01-12.mp4", "Actor_12/01-02-03-01-01-01-12.mp4")
    items, defects = take("ravdess")
    found = {row.item_id: (row.emotion, row.level) for row in items.itertuples()}
    assert [found[f"01-01-{emotion:02d}-01-02-01-12"] for emotion in (1, 3, 4, 5, 6, 7, 8)] == [
        ("neutral", 1), ("happy", 2), ("sad", 2), ("angry", 2), ("fear", 2), ("disgusted", 2), ("surprised", 2),
    ]  # fmt: skip
    assert found["01-01-06-02-02-01-12"] == ("fear", 3)
    assert len(items) == 8 and set(items["speaker"]) == {"Actor_12"} and (items["status"] == "ok").all()
    assert left_out(defects) == {
        "1 songs": "ingest.ravdess.song is false", "1 calm takes": "ingest.ravdess.emotions.calm is null"
    }  # fmt: skip


def test_songs_and_other_mappings_when_asked(take, put):
    put("both", "01-02-03-01-01-01-12.mp4", "01-01-02-01-01-01-12.mp4", "01-01-04-02-01-01-12.mp4")
    items, defects = take(
        "ravdess", ravdess={"song": True, "levels": {"normal": 1, "strong": None}, "emotions": {**dict.fromkeys(
            ("neutral", "happy", "angry", "fearful", "disgust", "surprised")), "calm": "neutral", "sad": "sad"}},
    )  # fmt: skip
    assert [(row.item_id, row.emotion, row.level) for row in items.itertuples()] == [
        ("01-01-02-01-01-01-12", "neutral", 1)
    ]
    assert len(left_out(defects)) == 2


def test_a_silent_video_takes_the_sound_of_its_own_file(take, put):
    put("both", "01-01-03-01-01-01-01.mp4")
    put("silent", *(f"02-01-03-01-01-01-{actor}.mp4" for actor in ("01", "02", "03", "04")))
    put("sound", "03-01-03-01-01-01-01.wav", "03-01-03-01-01-01-02.wav")
    put("long", "03-01-03-01-01-01-03.wav")
    items, defects = take("ravdess")
    assert items["status"].tolist() == ["ok", "ok", "failed", "failed"]
    assert items.index[1] == "02-01-03-01-01-01-02" and "03-01-03-01-01-01-02.wav" in items["audio_path"].iloc[1]
    assert "not of one take" in items["reason"].iloc[2]
    assert "no sound" in items["reason"].iloc[3]
    assert set(left_out(defects)) == {"1 silent videos", "1 sound files"}


def test_wrong_names_are_said(take, put):
    put("both", "01-01-09-01-01-01-01.mp4", "01-01-03-01-01-01-25.mp4", "notes.mp4", "01-01-03-01-01-01-01.mp4")
    items, defects = take("ravdess")
    assert len(items) == 1
    assert sorted(defects["problem"]) == [
        "1 files are not named as RAVDESS', this one first",
        "actor 25 is not one of " + ", ".join(f"{n:02d}" for n in range(1, 25)),
        "emotion 09 is not one of 01, 02, 03, 04, 05, 06, 07, 08",
    ]


def test_nothing_to_use(take, put):
    put("both", "a.mp4")
    with pytest.raises(SourceError, match="no video named as RAVDESS"):
        take("ravdess")


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        (
            "emotions",
            "calm",
            "serene",
            "'angry', 'contempt', 'disgusted', 'fear', 'happy', 'neutral', 'sad' or 'surprised'",
        ),
        ("emotions", "bored", "sad", "unknown key ingest.ravdess.emotions.bored; allowed here: neutral, calm"),
        ("levels", "strong", 4, "ingest.ravdess.levels.strong is 4: Input should be 1, 2 or 3"),
    ],
)
def test_a_wrong_mapping_names_what_is_allowed(root, section, key, value, says):
    raw = parameters.load(root / "params.yaml").model_dump(by_alias=True)
    raw["ingest"]["ravdess"][section][key] = value
    with pytest.raises(ParamsError) as error:
        parameters.parse(raw)
    assert says in str(error.value)
