"""A file is there whole or not at all."""

from __future__ import annotations

import json

import pytest

from stages.files import atomic_path, fresh_dir, write_json


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "deep" / "x.txt"
    with atomic_path(path) as tmp:
        tmp.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(path) as tmp:
        tmp.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["x.txt"]


def test_folders_too(tmp_path):
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "out") as tmp:
        tmp.mkdir()
        (tmp / "part").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with atomic_path(tmp_path / "out") as tmp:
        tmp.mkdir()
        (tmp / "part").touch()
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["part"]


def test_fresh_dir_is_empty(tmp_path):
    (fresh_dir(tmp_path / "a" / "b") / "x").touch()
    assert list(fresh_dir(tmp_path / "a" / "b").iterdir()) == []


def test_json_is_sorted_and_strict(tmp_path):
    write_json({"b": 1, "a": 2}, tmp_path / "x.json")
    assert list(json.loads((tmp_path / "x.json").read_text())) == ["a", "b"]
    with pytest.raises(ValueError):
        write_json({"a": float("nan")}, tmp_path / "y.json")
    assert not (tmp_path / "y.json").exists()
