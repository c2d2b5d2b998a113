"""Folders of videos against folders of videos."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from stages.corpus.decode import read_video
from stages.corpus.encode import write_mp4
from stages.evaluation.compare import compare, videos, wanted
from stages.evaluation.scoring import Settings

SETTINGS = Settings(size=256, vshift=5, min_face_rate=0.5)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory, talking) -> Path:
    folder = tmp_path_factory.mktemp("truth")
    write_mp4(folder / "a.mp4", talking.frames, 25, talking.sound, 16000)
    write_mp4(folder / "b.mp4", talking.frames[::-1], 25, talking.sound, 16000)
    return folder


@pytest.fixture(scope="module")
def result(truth: Path, tmp_path_factory: pytest.TempPathFactory, talking) -> tuple[pd.DataFrame, Path]:
    root = tmp_path_factory.mktemp("methods")
    for name in ("large", "broken"):
        (root / name).mkdir()
    large = [cv2.resize(frame, (320, 320), interpolation=cv2.INTER_CUBIC) for frame in talking.frames]
    write_mp4(root / "large/a.mp4", np.repeat(large, 2, axis=0), 50)
    write_mp4(root / "large/b.mp4", large[::-1] + large[:5], 25)
    (root / "broken/a.mp4").write_bytes(b"nothing")
    write_mp4(root / "broken/not a clip.mp4", talking.frames[:2], 25)
    (root / "dark").mkdir()
    write_mp4(root / "dark/a.MOV", np.zeros((40, 200, 200, 3), np.uint8), 25, talking.sound, 16000)
    write_mp4(root / "dark/b_mine.mp4", talking.frames, 25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DREAMTALK_WORKERS", "1")
        methods = {"truth": truth, "large": root / "large", "broken": root / "broken", "dark": root / "dark"}
        table = compare(truth, methods, root / "out", SETTINGS, resamples=50)
    return table.set_index(["method", "clip_id"]), root / "out"


def test_every_method_has_a_row_for_every_clip(result):
    assert sorted(result[0].index) == [(m, c) for m in ("broken", "dark", "large", "truth") for c in ("a", "b")]


def test_the_truth_is_perfect_and_another_size_and_rate_nearly(result):
    table = result[0]
    assert table.loc["truth", "ssim"].min() > 0.9999 and table.loc["truth", "m_lmd"].max() == 0
    assert table.loc[("large", "a"), "ssim"] > 0.95 and table.loc[("large", "a"), "f_lmd"] < 1
    assert table.loc[("large", "a"), "frames"] == 30
    assert table.loc[("large", "a"), "source"] == "320x320 px, 50 frames/s"


def test_what_is_wrong_is_said(result):
    reasons = result[0]["reason"]
    assert reasons["truth", "a"] == "" and reasons["large", "a"] == "no sound: the truth's used"
    assert reasons["large", "b"].startswith("35 frames, the truth has 30: compared over the first 30; no sound")
    assert reasons["broken", "a"].startswith("the video cannot be read")
    assert reasons["broken", "b"] == "the video is missing"
    assert np.isnan(result[0].loc[("broken", "a"), "ssim"])


def test_a_black_video_is_scored_where_no_face_is_needed(result):
    row = result[0].loc[("dark", "a")]
    assert "40 frames, the truth has 30" in row["reason"] and "no face in 40 of 40 frames" in row["reason"]
    assert 0 < row["ssim"] < 0.5 and row["face_rate"] == 0 and np.isnan(row["m_lmd"]) and np.isnan(row["cpbd"])


def test_a_wrong_name_is_pointed_out(truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, talking):
    monkeypatch.setenv("DREAMTALK_WORKERS", "1")
    for folder in ("real", "mine"):
        (tmp_path / folder).mkdir()
    shutil.copy(truth / "a.mp4", tmp_path / "real/M030_happy_001.mp4")
    shutil.copy(truth / "a.mp4", tmp_path / "mine/M030_happy_001_out.mp4")
    table = compare(tmp_path / "real", {"mine": tmp_path / "mine"}, tmp_path / "out", SETTINGS, resamples=5)
    assert table.loc[0, "reason"] == "the video is missing; is it M030_happy_001_out.mp4?"
    shutil.copy(truth / "a.mp4", tmp_path / "mine/M030_happy_001.mp4")
    shutil.copy(truth / "a.mp4", tmp_path / "mine/M030_happy_001.mov")
    with pytest.raises(ValueError, match="are videos of one clip"):
        compare(tmp_path / "real", {"mine": tmp_path / "mine"}, tmp_path / "out", SETTINGS, resamples=5)


def test_a_name_is_taken_for_the_likest_clips_but_for_no_other_clips_own():
    found = {name: Path(f"{name}.mov") for name in ("a1", "b2_out", "c_3x", "notes")}
    places = wanted(["a1", "b2", "c_3", "c_4", "d5"], found, Path("mine"))
    assert places["a1"] == (Path("a1.mov"), None)
    assert places["b2"] == (Path("mine/b2.mp4"), "b2_out.mov") and places["c_3"].mistaken == "c_3x.mov"
    assert places["c_4"].mistaken is None and places["d5"].mistaken is None
    assert wanted(["happy_001"], {"hapy_001": Path("hapy_001.mp4")}, Path())["happy_001"].mistaken == "hapy_001.mp4"


def test_a_large_folder_of_wrong_names_takes_no_time_and_the_first_clips_show_what_is_wrong(monkeypatch):
    monkeypatch.setattr("stages.evaluation.compare.MOST_COMPARED", 1000)
    real = [f"M{i % 40:03d}_angry_level3_{i:03d}" for i in range(500)]
    began = time.process_time()
    places = wanted(real, {f"x_{name}_y": Path(f"x_{name}_y.mp4") for name in real}, Path())
    assert time.process_time() - began < 3
    assert [place.mistaken for place in places.values()] == [f"x_{name}_y.mp4" for name in real[:2]] + [None] * 498


def test_the_files_say_the_same(result):
    table, out = result
    written = pd.read_csv(out / "metrics.csv", keep_default_na=True).set_index(["method", "clip_id"])
    np.testing.assert_allclose(written["ssim"], table["ssim"], rtol=1e-4)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["methods"]["truth"]["metrics"]["ssim"] == pytest.approx(1, abs=1e-4)
    assert summary["methods"]["broken"]["metrics"]["ssim_clips"] == 0
    assert summary["methods"]["broken"]["with_remarks"] == 2
    assert summary["methods"]["broken"]["files_without_truth"] == ["not a clip.mp4"]
    assert set(summary["absent"]) == {"sync_conf_corpus", "sync_conf", "csim", "id_sim_corpus", "lpips"}


def test_bad_folders_are_named(truth: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="nowhere: no such folder"):
        compare(truth, {"x": tmp_path / "nowhere"}, tmp_path / "out", SETTINGS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no video"):
        compare(tmp_path / "empty", {"x": truth}, tmp_path / "out", SETTINGS)


def test_hidden_files_are_no_clips(tmp_path: Path):
    for name in ("c1.mp4", "._c1.mp4", ".c1.0123abcd.tmp.mp4", "notes.txt"):
        (tmp_path / name).touch()
    assert videos(tmp_path) == {"c1": tmp_path / "c1.mp4"}


def test_a_damaged_truth_costs_its_own_clip_only(truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DREAMTALK_WORKERS", "1")
    damaged = tmp_path / "damaged"
    shutil.copytree(truth, damaged)
    (damaged / "a.mp4").write_bytes(b"")
    table = compare(damaged, {"x": truth}, tmp_path / "out", SETTINGS, resamples=5).set_index("clip_id")
    assert table.loc["a", "reason"] == "truth: the video is empty (zero bytes)" and np.isnan(table.loc["a", "ssim"])
    assert table.loc["b", "reason"] == "" and table.loc["b", "ssim"] > 0.9999


@pytest.mark.slow
def test_worker_processes_change_nothing(result, truth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DREAMTALK_WORKERS", "2")
    method = tmp_path / "copy"
    shutil.copytree(truth, method)
    table = compare(truth, {"truth": method}, tmp_path / "out", SETTINGS, resamples=5)
    expected = result[0].loc[["truth"]].reset_index()
    pd.testing.assert_frame_equal(table, expected[table.columns])


def test_real_clips_of_one_speaker(shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another emotion's take has a worse face than the take itself re-encoded."""
    monkeypatch.setenv("DREAMTALK_WORKERS", "1")
    mead = shared / "realclips/mead"
    for folder in ("truth", "same", "other"):
        (tmp_path / folder).mkdir()
    name = "clip.mp4"
    shutil.copy(mead / "M030_front_happy_level3_001.mp4", tmp_path / "truth" / name)
    shutil.copy(mead / "M030_front_angry_level3_001.mp4", tmp_path / "other" / name)
    write_mp4(tmp_path / "same" / name, read_video(tmp_path / "truth" / name, 25), 25)
    methods = {name: tmp_path / name for name in ("same", "other")}
    table = compare(tmp_path / "truth", methods, tmp_path / "out", SETTINGS, resamples=5).set_index("method")
    assert table.loc["same", "ssim"] > 0.9 > table.loc["other", "ssim"]
    assert table.loc["same", "m_lmd"] < 1 < table.loc["other", "m_lmd"]
    assert table.loc["same", "face_rate"] == 1
