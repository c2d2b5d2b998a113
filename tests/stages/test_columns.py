"""Numbers per frame come back as they went in, without a copy."""

from __future__ import annotations

import numpy as np
import pytest

from stages.columns import Columns, write_shard


def row(name: str, frames: int, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "clip_id": name,
        "motion": rng.normal(size=(frames, 3)).astype(np.float32),
        "identity": rng.normal(size=5).astype(np.float32),
    }


def test_round_trip_over_shards(tmp_path):
    rows = [row("b", 4, 1), row("a", 2, 2), row("c", 7, 3)]
    write_shard(tmp_path / "shard-0.arrow", rows[:2])
    write_shard(tmp_path / "shard-1.arrow", rows[2:])
    columns = Columns(tmp_path)
    assert list(columns) == ["a", "b", "c"] and len(columns) == 3
    for expected in rows:
        found = columns[expected["clip_id"]]
        assert np.array_equal(found["motion"], expected["motion"])
        assert np.array_equal(found["identity"], expected["identity"])
        assert not found["motion"].flags.writeable


def test_the_order_of_rows_does_not_change_the_bytes(tmp_path):
    rows = [row("b", 4), row("a", 2)]
    write_shard(tmp_path / "x.arrow", rows)
    write_shard(tmp_path / "y.arrow", rows[::-1])
    assert (tmp_path / "x.arrow").read_bytes() == (tmp_path / "y.arrow").read_bytes()


def test_an_empty_shard(tmp_path):
    write_shard(tmp_path / "x.arrow", [])
    assert dict(Columns(tmp_path)) == {}


def test_values_that_are_not_finite_name_the_clip(tmp_path):
    bad = row("broken", 3)
    bad["motion"][1, 1] = np.nan
    with pytest.raises(ValueError, match="motion of clip broken"):
        write_shard(tmp_path / "x.arrow", [row("fine", 3), bad])
    assert list(tmp_path.iterdir()) == []


def test_no_shard_and_no_such_clip(tmp_path):
    with pytest.raises(FileNotFoundError, match="dvc repro"):
        Columns(tmp_path)
    write_shard(tmp_path / "x.arrow", [row("a", 1)])
    with pytest.raises(KeyError):
        Columns(tmp_path)["b"]
