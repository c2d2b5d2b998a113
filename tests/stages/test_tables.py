"""A table that breaks its schema is not written."""

from __future__ import annotations

import pandas as pd
import pytest

from stages import tables


@pytest.fixture
def split() -> pd.DataFrame:
    rows = [
        {"clip_id": name, "speaker": "A", "level": level, "split": "train"} for name, level in (("b", 1), ("a", None))
    ]
    return tables.from_rows(rows, tables.SPLIT)


def test_round_trip_sorts_and_keeps_integers_that_may_be_null(split, tmp_path):
    tables.write(split, tables.SPLIT, tmp_path / "t.parquet")
    back = tables.read(tmp_path / "t.parquet")
    assert list(back["clip_id"]) == ["a", "b"]
    assert back["level"].dtype == pd.Int64Dtype() and back["level"].tolist() == [pd.NA, 1]
    assert back["emotion"].isna().all()


def test_the_order_of_rows_does_not_change_the_bytes(split, tmp_path):
    tables.write(split, tables.SPLIT, tmp_path / "a.parquet")
    tables.write(split[::-1], tables.SPLIT, tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="split"), r"missing columns \['split'\]"),
        (lambda t: t.assign(mood=1), r"unknown columns \['mood'\]"),
        (lambda t: t.assign(clip_id="a"), "clip_id repeats"),
        (lambda t: t.assign(level="high"), "t.parquet: "),
        (lambda t: t.assign(level=1.5), "t.parquet: "),
    ],
)
def test_violations_are_refused(split, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        tables.write(change(split), tables.SPLIT, tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_table_says_what_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="dvc repro"):
        tables.read(tmp_path / "t.parquet")
