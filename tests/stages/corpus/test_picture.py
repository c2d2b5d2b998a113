"""The corpus is counted rightly, shown across its speakers and styles, and no odd value stops a figure."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from stages import plots, tables
from stages.corpus.picture import figures, numbers, sheets


def clips(speakers: int, emotions: tuple, takes: int = 1) -> pd.DataFrame:
    return tables.from_rows(
        [
            {
                "clip_id": f"S{s:03d}_{e}_{level}_{take}", "speaker": f"S{s:03d}", "emotion": e,
                "level": level if e else None, "frames": 50 + take, "fps": 25.0, "face_px": 60.0 + s,
                "detection_rate": 1.0 - 0.02 * take, "source_file": f"{s}_{e}_{level}_{take}.mp4",
            }
            for s in range(speakers) for e in emotions for level in (1, 3) for take in range(takes)
        ],
        tables.CLIPS,
    )  # fmt: skip


def split(corpus: pd.DataFrame, part: str = "train") -> pd.DataFrame:
    return corpus[["clip_id", "speaker", "emotion", "level"]].assign(split=part)


def quarantine(*rows: tuple[str, str, float | None, str]) -> pd.DataFrame:
    keys = ("item_id", "stage", "start_s", "reason")
    return tables.from_rows([dict(zip(keys, row, strict=True)) for row in rows], tables.QUARANTINE)


REFUSED = quarantine(
    ("S000_sad_1_0", "crop", 2.0, "only 0.50 s with a face"),
    ("x", "crop", 0.0, "only 0.75 s with a face"),
    ("y", "crop", None, "no face found"),
    ("z", "ingest", None, "is empty"),
)


def test_facts():
    corpus = clips(2, ("sad", None), 2)
    facts = numbers.facts(corpus)
    assert (facts["clips"], facts["speakers"], facts["styles"]) == (16, 2, 6)
    assert facts["hours"] * 3600 == pytest.approx(8 * (50 + 51) / 25)
    assert (facts["face_px_least"], facts["detection_least"]) == (60, 0.98)


def test_fates_count_items_and_takes():
    corpus = clips(1, ("sad",))
    corpus["clip_id"] = ["S000_sad_1_0_p01", "S000_sad_1_0_p02"]
    assert numbers.fates(corpus, REFUSED) == {
        "gave clips": 1, "gave none": 2, "could not be read": 1, "takes rejected": 2,
    }  # fmt: skip


def test_rejections_of_one_kind_are_one():
    found = numbers.rejections(REFUSED)
    assert found.iloc[0].tolist() == ["crop", "only … s with a face", 2] and len(found) == 3


def test_of_very_many_speakers_some_have_rows_of_their_own():
    corpus = clips(numbers.SPEAKERS + 9, ("sad",))
    table = numbers.by_speaker(corpus, split(corpus))
    assert len(table) == numbers.SPEAKERS + 1
    assert table["speaker"].tolist()[-2:] == ["10 others", "all"]
    assert table["clips"].tolist()[-2:] == [20, len(corpus)] and table["train"].iloc[-1] == len(corpus)


def test_the_sample_goes_across_speakers_then_styles():
    few = sheets.sample(clips(3, ("sad", "happy", None), 4), 7)
    assert few["speaker"].value_counts().tolist() == [3, 2, 2]
    assert set(few["emotion"].dropna()) == {"sad", "happy"}
    assert set(few["level"].dropna()) == {3}
    many = sheets.sample(clips(100, ("sad", "happy")), 10)
    assert many["speaker"].nunique() == 10 and many["emotion"].nunique() == 2
    everything = clips(1, ("sad",), 2)
    assert len(sheets.sample(everything.sample(frac=1, random_state=0), 10)) == 4


def test_the_order_of_rows_does_not_change_the_sample():
    corpus = clips(5, ("sad", "happy", None), 2)
    shuffled = corpus.sample(frac=1, random_state=1)
    assert list(sheets.sample(corpus, 9)["clip_id"]) == list(sheets.sample(shuffled, 9)["clip_id"])


def jpeg(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (160, 90), colour).save(buffer, "JPEG")
    return buffer.getvalue()


def test_rejected_ones_lie_beside_their_reason(tmp_path):
    rows = [{"item_id": f"x{i}", "start_s": 1.0, "reason": f"only 0.{i} s with a face", "jpeg": None} for i in range(9)]
    rows += [{"item_id": "y", "start_s": None, "reason": "no face found", "jpeg": jpeg("red")}]
    kinds = sheets.rejected(REFUSED, tables.from_rows(rows, tables.THUMBNAILS))
    assert [(kind.reason, kind.items, len(kind.tiles)) for kind in kinds] == [
        ("only … s with a face", 2, sheets.EACH), ("no face found", 1, 1), ("is empty", 1, 0),
    ]  # fmt: skip
    (red,) = [tile for kind in kinds for tile in kind.tiles if tile.jpeg]
    assert (red.title, red.caption) == ("y", "")
    path = sheets.save([red, red, kinds[0].tiles[0]], tmp_path / "sheet.jpg")
    assert Image.open(path).size == (2 * sheets.PX + sheets.GAP, sheets.PX)
    assert sheets.save(kinds[0].tiles, tmp_path / "none.jpg") is None and not (tmp_path / "none.jpg").exists()


def test_without_thumbnails_there_are_reasons(tmp_path):
    assert [kind.tiles for kind in sheets.rejected(REFUSED, sheets.read_thumbnails(tmp_path))] == [[], [], []]


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.lengths([2.0], (1, 30)),
        lambda: figures.faces([float("nan"), 80.0], 48),
        lambda: figures.detection([1.0, 0.995, 0.93, 0.2], 0.9),
        lambda: figures.detection([1.0], 0.0),
        lambda: figures.styles(numbers.by_style(clips(1, ("sad", None)))),
        lambda: figures.fates({"gave clips": 0, "gave none": 0, "could not be read": 0}),
        lambda: figures.rejections(
            numbers.rejections(quarantine(("x", "crop", None, "a $x_ name\n\U0001f600 \\frac{")))
        ),
        lambda: figures.speakers(minutes(["a $x_$ \n\U0001f600", "名前", "a very long name of a folder"])),
        lambda: figures.speakers(minutes([f"S{i}" for i in range(1000)])),
    ],
)
def test_odd_values_are_drawn(draw, tmp_path: Path, recwarn):
    assert plots.save(draw, tmp_path, "plot").stat().st_size > 0
    assert not list(recwarn)


def minutes(names: list[str]) -> pd.DataFrame:
    corpus = clips(len(names), ("sad",))
    corpus["speaker"] = [name for name in names for _ in range(2)]
    return numbers.minutes_by_speaker(corpus, split(corpus))
