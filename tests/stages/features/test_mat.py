"""MATLAB files of coefficients."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from stages.features.mat import read_mat, write_mat


@pytest.fixture
def motion() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = {"identity": (80,), "expression": (7, 32), "angles": (7, 3), "translation": (7, 3), "crop": (7, 3)}
    return {name: rng.normal(size=size).astype(np.float32) for name, size in sizes.items()}


def test_round_trip(motion: dict[str, np.ndarray], tmp_path: Path) -> None:
    write_mat(tmp_path / "a.mat", motion, (256, 200))
    found = read_mat(tmp_path / "a.mat", expression_dim=32)
    for name, value in motion.items():
        np.testing.assert_array_equal(found[name], np.broadcast_to(value, found[name].shape))
    assert not read_mat(tmp_path / "a.mat")["expression"][:, 32:].any()


def test_layout_is_the_published_one(motion: dict[str, np.ndarray], tmp_path: Path) -> None:
    write_mat(tmp_path / "a.mat", motion, (256, 200))
    content = scipy.io.loadmat(tmp_path / "a.mat")
    assert content["coeff"].shape == (7, 257)
    np.testing.assert_array_equal(content["coeff"][:, 80:112], motion["expression"])
    np.testing.assert_array_equal(content["coeff"][:, 254:257], motion["translation"])
    np.testing.assert_array_equal(content["transform_params"][:, :2], [[256, 200]] * 7)


def test_bytes_hold_no_time(motion: dict[str, np.ndarray], tmp_path: Path, monkeypatch) -> None:
    write_mat(tmp_path / "a.mat", motion, (256, 256))
    monkeypatch.setattr(time, "asctime", lambda: "Thu Jan  1 00:00:00 1970")
    write_mat(tmp_path / "b.mat", motion, (256, 256))
    assert (tmp_path / "a.mat").read_bytes() == (tmp_path / "b.mat").read_bytes()


def test_reads_published_files(shared: Path) -> None:
    found = read_mat(shared / "realclips" / "coeff" / "KristiNoem.mat")
    assert found["expression"].shape[1] == 64
    assert np.abs(found["angles"]).max() < 1.5


@pytest.mark.parametrize(
    "content", [{"other": np.zeros(3)}, {"coeff": np.zeros((4, 64))}, {"coeff": np.full((2, 257), np.nan)}]
)
def test_other_content_is_refused_by_name(tmp_path: Path, content: dict[str, np.ndarray]) -> None:
    scipy.io.savemat(tmp_path / "bad.mat", content)
    with pytest.raises(ValueError, match=r"bad\.mat"):
        read_mat(tmp_path / "bad.mat")


@pytest.mark.parametrize("content", [b"", b"no matlab", bytes(200)])
def test_damaged_files_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.mat").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.mat"):
        read_mat(tmp_path / "bad.mat")


def test_models_larger_than_the_layout_are_refused(motion: dict[str, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="65 expression"):
        write_mat(tmp_path / "a.mat", {**motion, "expression": np.zeros((7, 65), np.float32)}, (256, 256))
