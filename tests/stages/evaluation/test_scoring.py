"""All metrics of one video, good and bad ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dreamtalk_models import checkpoints
from dreamtalk_models.syncnet import SyncNet
from stages.corpus.encode import write_mp4
from stages.evaluation.scoring import Judges, Settings, Sound, Truth, Video, read_video, score, squares

SETTINGS = Settings(size=256, vshift=5, min_face_rate=0.5)


@pytest.fixture(scope="module")
def judges() -> Judges:
    return Judges(SETTINGS)


@pytest.fixture(scope="module")
def truth(talking) -> Truth:
    return Truth(talking.frames, Video(talking.frames).points)


def test_the_truth_against_itself_is_perfect(talking, truth: Truth, judges: Judges):
    values, notes = score(Video(talking.frames), truth, None, judges)
    assert notes == []
    assert values["ssim"] == pytest.approx(1, abs=1e-6)
    assert values["f_lmd"] == values["m_lmd"] == 0
    assert values["mouth_opening_corr"] == pytest.approx(1)
    assert values["face_rate"] == 1 and values["frames"] == 30


def test_a_still_face_is_worse_where_it_should_be(talking, truth: Truth, judges: Judges):
    still = Video(np.repeat(talking.frames[:1], 30, axis=0))
    values, _ = score(still, truth, None, judges)
    assert values["ssim"] < 0.999 and values["m_lmd"] > 0.3
    assert values["m_lmd_sum"] == pytest.approx(20 * values["m_lmd"])


def test_blur_costs_sharpness_and_similarity(talking, truth: Truth, judges: Judges):
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in talking.frames])
    sharp, blurred = (score(Video(frames), truth, None, judges).values for frames in (talking.frames, soft))
    assert blurred["cpbd"] < 0.5 * sharp["cpbd"] and blurred["ssim"] < 0.99


def test_short_and_black_videos_say_so(talking, truth: Truth, judges: Judges):
    values, notes = score(Video(talking.frames[:12]), truth, None, judges)
    assert values["frames"] == 12 and values["f_lmd"] < 0.2
    assert notes == ["12 frames, the truth has 30: compared over the first 12"]

    black = talking.frames.copy()
    black[10:] = 0
    values, notes = score(Video(black), truth, None, judges)
    assert "no face in 20 of 30 frames" in notes
    assert values["face_rate"] == pytest.approx(1 / 3) and np.isfinite(values["m_lmd"])

    values, notes = score(Video(np.zeros_like(black)), truth, None, judges)
    assert values["face_rate"] == 0 and np.isnan(values["m_lmd"]) and np.isnan(values["cpbd"])


def test_lips_are_judged_where_there_is_a_judge_a_face_and_sound(tmp_path: Path, talking, truth: Truth):
    torch.manual_seed(0)
    checkpoints.save(SyncNet(width=0.05, size=48), tmp_path / "syncnet.safetensors")
    judges = Judges(Settings(256, 5, 0.5, corpus_syncnet=tmp_path / "syncnet.safetensors"))
    sound = Sound(talking.sound, 16000)
    values, notes = score(Video(talking.frames), truth, sound, judges)
    assert notes == [] and {"sync_conf_corpus", "sync_dist_corpus", "sync_offset_corpus"} <= set(values)
    assert "sync_conf" not in values  # that name is the published network's

    assert "sync_conf_corpus" not in score(Video(talking.frames), truth, None, judges).values
    values, notes = score(Video(np.zeros_like(talking.frames)), truth, sound, judges)
    assert "sync_conf_corpus" not in values
    assert "lips not judged: a face in only 0% of the frames" in notes
    _, notes = score(Video(talking.frames[:4]), truth, sound, judges)
    assert "lips not judged: shorter than 5 frames" in notes


def test_the_published_network_judges_under_its_own_name(tmp_path: Path, talking):
    torch.manual_seed(0)
    torch.save(SyncNet().state_dict(), tmp_path / "syncnet_v2.model")
    judges = Judges(Settings(256, 1, 0.5, syncnet=tmp_path / "syncnet_v2.model"))
    video = Video(talking.frames[:7])
    values, _ = score(video, Truth(video.frames, video.points), Sound(talking.sound, 16000), judges)
    assert {"sync_conf", "sync_dist", "sync_offset"} <= set(values) and "sync_conf_corpus" not in values


def test_frames_of_any_size_become_squares():
    frames = [np.full((90, 160, 3), 7, np.uint8), np.full((512, 512, 3), 9, np.uint8)]
    result = squares(frames, 128)
    assert result.shape == (2, 128, 128, 3) and (result[0] == 7).all() and (result[1] == 9).all()
    assert squares([], 128).shape == (0, 128, 128, 3)


def test_files_are_read_as_far_as_they_go(tmp_path: Path, talking):
    path = tmp_path / "clip.mp4"
    write_mp4(path, list(np.repeat(talking.frames, 4, axis=0)), 50)
    video, obstacle = read_video(path, 128)
    assert obstacle is None and video.frames.shape == (60, 128, 128, 3)

    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    video, obstacle = read_video(path, 128)
    assert 0 < len(video.frames) < 60 and obstacle.startswith("the video ")
    path.write_bytes(b"no video at all")
    video, obstacle = read_video(path, 128)
    assert len(video.frames) == 0 and obstacle.startswith("the video cannot be read")
    assert read_video(tmp_path / "none.mp4", 128)[1] == "the video is missing"


def test_missing_judges_are_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"no\.safetensors"):
        Judges(Settings(256, 5, 0.5, corpus_syncnet=tmp_path / "no.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"no\.model"):
        Judges(Settings(256, 5, 0.5, syncnet=tmp_path / "no.model"))
    with pytest.raises(ValueError, match=r"ArcFace|onnxruntime"):
        Judges(Settings(256, 5, 0.5, arcface=tmp_path / "no.onnx"))
