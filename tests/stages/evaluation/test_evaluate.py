"""The stage on a corpus of a few clips, with untrained judges."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.face_topology import VERTICES
from dreamtalk_models.style_classifier import StyleClassifier
from dreamtalk_models.syncnet import SyncNet
from stages import params, tables
from stages.columns import Columns, write_shard
from stages.corpus.encode import write_mp4, write_wav
from stages.evaluation import evaluate as stage
from stages.evaluation.motion_scores import MotionJudges, motion_scores, neutral_expressions, partners

DIM = 4
CLIPS = {  # clip_id: speaker, emotion, split
    "ann_happy": ("ann", "happy", "test"),
    "ann_neutral": ("ann", "neutral", "test"),
    "bob_sad": ("bob", "sad", "test"),
    "cat_sad": ("cat", "sad", "train"),
}
TEST = [clip_id for clip_id, (_, _, split) in CLIPS.items() if split == "test"]


def style(clip_id: str) -> str:
    return "{}/{}/1".format(*CLIPS[clip_id])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, talking) -> Path:
    root = tmp_path_factory.mktemp("run")
    frames = len(talking.frames)
    rng = np.random.default_rng(0)
    motion = {clip_id: 0.1 * rng.normal(size=(frames, DIM)) for clip_id in CLIPS}
    _corpus(root / "data", talking, motion)
    _models(root / "models")
    made = root / "generated/predicted_full"
    (made / "videos").mkdir(parents=True)
    write_mp4(made / "videos/ann_happy.mp4", talking.frames, 25, talking.sound, 16000)
    write_mp4(made / "videos/ann_neutral.mp4", np.repeat(talking.frames[:1], 12, axis=0), 25)  # bob_sad is missing
    codes = {clip_id: rng.normal(size=8) for clip_id in TEST}
    rows = [{"clip_id": c, "expression": motion[c] + (c == "bob_sad"), "style_code": codes[c]} for c in TEST]
    write_shard(made / "motion.arrow", rows)
    return root


def _corpus(data: Path, talking, motion: dict[str, np.ndarray]) -> None:
    (data / "clips").mkdir(parents=True)
    with tarfile.open(data / "clips/shard-00000.tar", "w") as tar:
        for clip_id in CLIPS:
            write_mp4(data / "clip.mp4", talking.frames, 25)
            write_wav(data / "clip.wav", talking.sound, 16000)
            for suffix in ("mp4", "wav"):
                content = (data / f"clip.{suffix}").read_bytes()
                member = tarfile.TarInfo(f"{clip_id}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    rows = [
        {"clip_id": c, "frames": 30, "fps": 25.0, "audio_rate": 16000, "shard": "shard-00000.tar", "sha256": c}
        for c in CLIPS
    ]
    tables.write(tables.from_rows(rows, tables.CLIPS), tables.CLIPS, data / "clips/clips.parquet")
    rows = [
        {"clip_id": c, "speaker": speaker, "emotion": emotion, "level": 1, "style": style(c), "split": split}
        for c, (speaker, emotion, split) in CLIPS.items()
    ]
    tables.write(tables.from_rows(rows, tables.SPLIT), tables.SPLIT, data / "split.parquet")
    write_shard(data / "motion/shard-00000.arrow", [{"clip_id": c, "expression": m} for c, m in motion.items()])


def _models(models: Path) -> None:
    torch.manual_seed(0)
    sizes = {"d_model": 8, "heads": 2, "feedforward": 8, "layers": 1, "motion_dim": DIM}
    networks = {
        "syncnet": SyncNet(width=0.05, size=48),
        "style_classifier": StyleClassifier(classes=2, motion_dim=DIM),
        "denoiser/full": Denoiser(audio_dim=3, style_frames=16, lower=(0,), **sizes),
    }
    for name, network in networks.items():
        (models / name).mkdir(parents=True)
        checkpoints.save(network, models / name / "weights.safetensors")
    classes = [style("ann_happy"), style("ann_neutral")]
    (models / "style_classifier/classes.json").write_text(json.dumps(classes))
    (models / "face_model").mkdir()
    FaceModel(
        mean=torch.randn(VERTICES, 3),
        identity_basis=torch.randn(3 * VERTICES, 2),
        expression_basis=torch.randn(3 * VERTICES, DIM),
        expression_std=torch.ones(DIM),
        vertex_weights=torch.ones(VERTICES),
        triangles=torch.arange(VERTICES).reshape(-1, 3),
    ).save(models / "face_model/face_model.npz")


@pytest.fixture(scope="module")
def settings(root: Path) -> params.Params:
    settings = params.load(root / "params.yaml")
    return settings.model_copy(update={"evaluate": settings.evaluate.model_copy(update={"vshift": 5})})


@pytest.fixture(scope="module")
def scored(run: Path, settings: params.Params) -> dict[str, pd.DataFrame]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DREAMTALK_WORKERS", "1")
        patch.setattr("stages.shards.WORK", run / ".work")
        return {
            variant: stage.evaluate(
                variant, settings, run / "data", run / "models", run / "generated", run / "evaluation"
            ).set_index("clip_id")
            for variant in ("ground_truth", "predicted_full")
        }


def test_the_ground_truth_is_the_ceiling(scored: dict[str, pd.DataFrame]):
    table = scored["ground_truth"]
    assert sorted(table.index) == sorted(TEST)
    np.testing.assert_allclose(table["ssim"], 1, atol=1e-6)
    assert (table[["f_lmd", "m_lmd", "md", "lve"]] == 0).all().all()
    assert table["sync_conf_corpus"].notna().all() and "scd" not in table
    assert set(stage.absent(table)) == {"sync_conf", "csim", "id_sim_corpus", "lpips", "scd"}


def test_generated_videos_are_compared_with_the_same_landmarks(scored: dict[str, pd.DataFrame]):
    table = scored["predicted_full"]
    assert table.loc["ann_happy", "ssim"] > 0.97 and table.loc["ann_happy", "m_lmd"] < 0.3
    assert table.loc["ann_happy", "m_lmd"] < table.loc["ann_neutral", "m_lmd"]
    assert table.loc["ann_happy", "reason"] == ""
    assert table.loc["ann_neutral", "reason"] == "12 frames, the truth has 30: compared over the first 12"


def test_a_missing_video_is_reported_and_its_motion_still_scored(scored: dict[str, pd.DataFrame]):
    row = scored["predicted_full"].loc["bob_sad"]
    assert row["reason"] == "the video is missing" and np.isnan(row["ssim"]) and row["frames"] == 0
    assert row["md"] == pytest.approx(2)  # each of four coefficients is off by one
    assert np.isnan(row["sa"])  # the classifier does not know this style
    assert np.isfinite(scored["predicted_full"][["scd", "scd_shuffled", "md_shuffled"]]).all().all()


def test_the_table_on_disk_is_the_same_and_comes_out_the_same_again(
    scored: dict[str, pd.DataFrame], run: Path, settings: params.Params, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DREAMTALK_WORKERS", "1")
    monkeypatch.setattr("stages.shards.WORK", run / ".work2")
    path = run / "evaluation/predicted_full/per_clip.parquet"
    first = path.read_bytes()
    pd.testing.assert_frame_equal(pd.read_parquet(path).set_index("clip_id"), scored["predicted_full"])
    stage.evaluate("predicted_full", settings, run / "data", run / "models", run / "generated", run / "evaluation")
    assert path.read_bytes() == first


def test_another_sound_of_the_same_clip_is_scored_anew(
    scored: dict[str, pd.DataFrame], run: Path, settings: params.Params, talking, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("DREAMTALK_WORKERS", "1")
    monkeypatch.setattr("stages.shards.WORK", run / ".work")
    motion = {clip_id: row["expression"] for clip_id, row in Columns(run / "data/motion").items()}
    _corpus(tmp_path / "data", SimpleNamespace(frames=talking.frames, sound=talking.sound[::-1].copy()), motion)
    places = (tmp_path / "data", run / "models", run / "generated", tmp_path / "evaluation")
    table = stage.evaluate("ground_truth", settings, *places).set_index("clip_id")
    assert (table["sync_conf_corpus"] != scored["ground_truth"]["sync_conf_corpus"]).all()
    assert (table["ssim"] == scored["ground_truth"]["ssim"]).all()


def test_frames_without_a_face_survive_the_file(tmp_path: Path):
    points = np.random.default_rng(0).uniform(0, 256, (3, 68, 2)).astype(np.float32)
    points[1] = np.nan
    write_shard(tmp_path / "landmarks.arrow", [{"clip_id": "a", **stage._packed(points)}])
    np.testing.assert_array_equal(stage.landmarks_of(Columns(tmp_path)["a"]), points)


def test_the_command_names_what_is_missing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        stage.main("full")
    assert "params.yaml is missing" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_writes_files_and_an_mlflow_run(
    root: Path, run: Path, scored: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch
):
    import mlflow

    monkeypatch.chdir(run)
    monkeypatch.setenv("DREAMTALK_WORKERS", "2")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{run}/mlflow.db")
    (run / "params.yaml").write_text((root / "params.yaml").read_text())
    stage.main("ground_truth")
    stage.main("predicted_full")
    metrics = json.loads(Path("metrics/evaluate/predicted_full.json").read_text())
    assert metrics["clips"] == 3 and metrics["ssim_clips"] == 2 and metrics["ssim_low"] <= metrics["ssim"]
    assert json.loads(Path("evaluation/predicted_full/metrics.json").read_text()) == metrics
    absent = json.loads(Path("evaluation/predicted_full/absent.json").read_text())
    assert set(absent) == {"sync_conf", "csim", "id_sim_corpus", "lpips"}
    found = mlflow.search_runs(search_all_experiments=True, filter_string="tags.variant = 'predicted_full'")
    assert found.loc[0, "metrics.m_lmd"] == pytest.approx(metrics["m_lmd"])


def test_motion_metrics_prefer_the_truth(run: Path):
    motion, split = Columns(run / "data/motion"), tables.read(run / "data/split.parquet")
    made = {clip_id: {"expression": motion[clip_id]["expression"] + 0.01} for clip_id in TEST}
    rows = motion_scores(made, motion, split, MotionJudges.load(run / "models"), predicted=False)
    np.testing.assert_allclose(rows["md"], 0.02, rtol=1e-4)
    assert (rows["md_shuffled"] > 5 * rows["md"]).all()
    assert (rows["lve"] > 0).all() and "scd" not in rows


def test_neutral_faces_come_from_neutral_clips(run: Path):
    motion, split = Columns(run / "data/motion"), tables.read(run / "data/split.parquet")
    neutral = neutral_expressions(motion, split)
    assert list(neutral) == ["ann"]
    np.testing.assert_allclose(neutral["ann"], motion["ann_neutral"]["expression"].mean(0))


def test_partners_are_others():
    assert partners(list("abcde")) == list("cdeab")
    assert all(a != b for a, b in zip("abcdef", partners(list("abcdef")), strict=True))
    assert partners(["a"]) == ["a"]
