"""The stage on three small clips with untrained networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import params, shards
from stages.columns import Columns
from stages.corpus import decode
from stages.evaluation import generate
from stages.evaluation.variants import VARIANTS, chosen, strangers
from tests.stages.evaluation import talking


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    talking.repository(folder, root)
    talking.corpus(folder)
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """run(variant) → its folder; one process, finished shards kept in tmp_path."""
    monkeypatch.setenv("DREAMTALK_WORKERS", "1")
    monkeypatch.setattr(shards, "WORK", tmp_path / ".work")
    settings = params.load(made / "params.yaml")

    def one(variant: str, again: str = "") -> Path:
        out = tmp_path / (variant + again)
        generate.run(variant, settings, made / "data", made / "models", out)
        return out

    return one


def motion(out: Path) -> Columns:
    return Columns(out)


def test_a_variant_of_dvc_yaml_is_a_row_of_the_table(root: Path) -> None:
    import yaml

    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    wanted = {
        name: (item["generator"], item["style_predictor"]) for name, item in stages["generate"]["foreach"].items()
    }
    assert {name: (v.generator, v.predictor or "full") for name, v in VARIANTS.items()} == wanted


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_every_variant_makes_its_videos(run, variant: str) -> None:
    out = run(variant)
    videos = sorted((out / "videos").iterdir())
    assert [path.name for path in videos] == (["b1.mp4"] if variant == "full_pirenderer" else ["b1.mp4", "b2.mp4"])
    assert decode.read_video(videos[0], 25).shape == (12, 256, 256, 3)
    assert len(decode.read_audio(videos[0], 16000)) >= 12 / 25 * 16000
    row = motion(out)["b1"]
    assert row["expression"].shape == (12, talking.DIMS)
    assert row["style_code"].shape == (16,)


def test_truth_is_the_clips_own_motion_and_mean_motion_the_training_mean(run, made: Path) -> None:
    own = Columns(made / "data" / "motion")
    np.testing.assert_array_equal(motion(run("truth"))["b1"]["expression"], own["b1"]["expression"])
    mean = motion(run("mean_motion"))["b1"]["expression"]
    np.testing.assert_allclose(mean, np.tile(own["a1"]["expression"].mean(0), (12, 1)), rtol=1e-6)


def test_variants_differ_in_what_their_names_say(run) -> None:
    full = motion(run("full"))["b1"]
    same_weights = motion(run("no_lip_expert"))["b1"]  # the networks of this test are equal, so is the noise
    np.testing.assert_array_equal(same_weights["expression"], full["expression"])
    np.testing.assert_array_equal(same_weights["style_code"], full["style_code"])
    other_sound = motion(run("other_audio"))["b1"]
    np.testing.assert_array_equal(other_sound["style_code"], full["style_code"])
    assert np.abs(other_sound["expression"] - full["expression"]).max() > 1e-4
    strange = motion(run("stranger_style"))["b1"]
    assert np.abs(strange["style_code"] - full["style_code"]).max() > 1e-4
    predicted = motion(run("predicted_full"))["b1"]
    assert np.abs(predicted["style_code"] - full["style_code"]).max() > 1e-4


def test_same_bytes_again_and_by_more_processes(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = run("full")
    monkeypatch.setattr(shards, "WORK", tmp_path / "elsewhere")
    monkeypatch.setattr(generate, "SHARD_CLIPS", 1)
    monkeypatch.setenv("DREAMTALK_WORKERS", "2")
    second = run("full", again="-again")
    for name in ("motion.arrow", "videos/b1.mp4", "videos/b2.mp4"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_portrait_starts_in_its_own_pose_and_follows_the_track(run) -> None:
    picture, _ = talking.face()
    frames = decode.read_video(run("truth") / "videos" / "b1.mp4", 25).astype(int)
    forehead = (slice(70, 100), slice(100, 160))
    first, last = (np.abs(frames[i][forehead] - picture[forehead].astype(int)).mean() for i in (0, -1))
    assert first < 6
    assert last > 2 * first  # the track turns the head by 0.2 rad


def test_a_strangers_style_is_alike_in_emotion_then_level_then_held_out() -> None:
    rows = [
        ("a1", "a", "happy", 2, "test"),
        ("a2", "a", "happy", 2, "test"),
        ("b1", "b", "happy", 1, "test"),
        ("b2", "b", "happy", 2, "train"),
        ("c1", "c", "happy", 2, "test"),
        ("d1", "d", "happy", 2, "test"),
        ("e1", "e", "sad", 2, "test"),
        ("f1", "f", None, None, "test"),
    ]
    split = pd.DataFrame(rows, columns=["clip_id", "speaker", "emotion", "level", "split"])
    found = strangers(split, split)
    assert {found["a1"], found["a2"]} == {"c1", "d1"}  # they take turns
    assert split.set_index("clip_id").loc[found["e1"], ["level", "split"]].tolist() == [2, "test"]
    assert found["f1"] in set(split["clip_id"]) - {"f1"}
    assert strangers(split, split.iloc[:1])["a1"] == "c1"
    alone = split[split["speaker"] == "a"]
    assert strangers(alone, alone) == {"a1": "a1", "a2": "a2"}


def test_clips_are_chosen_evenly_over_styles() -> None:
    styles = [f"s/{i}/1" for i in range(10)]
    split = pd.DataFrame(
        {
            "clip_id": [f"c{i:02}" for i in range(20)],
            "style": [style for style in styles for _ in range(2)],
            "split": ["test"] * 20,
        }
    )
    picked = chosen(split, 10)
    assert picked["style"].nunique() == 10
    assert len(chosen(split, 100)) == 20
    fewer = chosen(split, 11, 4)
    assert len(fewer) == 4 and set(fewer["clip_id"]) < set(chosen(split, 11)["clip_id"])
    with pytest.raises(ValueError, match="no test clip"):
        chosen(split.assign(split="train"), 10)


def test_missing_networks_are_named(made: Path, tmp_path: Path) -> None:
    settings = params.load(made / "params.yaml")
    with pytest.raises(FileNotFoundError, match="denoiser/full"):
        generate.run("full", settings, made / "data", tmp_path / "models", tmp_path / "out")
