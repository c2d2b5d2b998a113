from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import compose_and_dump

from stages import params


def compose(root: Path, out: Path, profile: str, *overrides: str) -> dict[str, Any]:
    compose_and_dump(out, str(root / "conf"), None, "config", "", [f"profile={profile}", *overrides])
    return yaml.safe_load(out.read_text())


@pytest.fixture
def demo(root: Path, tmp_path: Path) -> dict[str, Any]:
    return compose(root, tmp_path / "params.yaml", "demo")


@pytest.mark.parametrize("profile", [path.stem for path in (Path(__file__).parents[2] / "conf/profile").glob("*.yaml")])
def test_every_profile_is_valid(root: Path, tmp_path: Path, profile: str) -> None:
    assert params.parse(compose(root, tmp_path / "params.yaml", profile)).profile == profile


@pytest.mark.parametrize("corpus", [path.stem for path in (Path(__file__).parents[2] / "conf/corpus").glob("*.yaml")])
@pytest.mark.parametrize("profile", ["demo", "paper"])
def test_every_corpus_is_valid_with_every_profile(root: Path, tmp_path: Path, profile: str, corpus: str) -> None:
    composed = compose(root, tmp_path / "params.yaml", profile, f"corpus={corpus}", "ingest.folder=/data/x")
    found = params.parse(composed)
    assert (found.profile, found.ingest.source, found.ingest.folder) == (profile, corpus, "/data/x")


def test_the_paper_profile_has_the_published_sizes(root: Path, tmp_path: Path) -> None:
    paper = params.parse(compose(root, tmp_path / "params.yaml", "paper"))
    assert (paper.denoiser.d_model, paper.denoiser.layers, paper.denoiser.diffusion_steps) == (256, 3, 1000)
    assert (paper.face_model.expression_dim, paper.crop.size, paper.audio.features) == (64, 256, "wav2vec2")


def test_params_yaml_is_the_composed_demo_profile_unless_edited(root: Path, demo: dict[str, Any]) -> None:
    here = params.load(root / "params.yaml")
    if here.profile != "demo":
        pytest.skip(f"params.yaml holds the {here.profile} profile")
    assert here.model_dump(by_alias=True).keys() == demo.keys()


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        ("crop", "sise", 256, "unknown key crop.sise; allowed here: size, fps"),
        ("crop", "fps", "25", "crop.fps is '25'"),
        ("crop", "max_seconds", float("inf"), "crop.max_seconds is inf"),
        ("fit", "smoothing", float("nan"), "fit.smoothing is nan"),
        ("report", "guidance_scales", [1.0, float("inf")], "report.guidance_scales.1 is inf"),
        ("denoiser", "heads", 7, "must be a multiple of heads"),
        (
            "denoiser",
            "diffusion_steps",
            19,
            "denoiser.diffusion_steps is 19: Input should be greater than or equal to 20",
        ),
        ("style_predictor", "diffusion_steps", 8, "style_predictor.diffusion_steps is 8"),
        ("generate", "method", "euler", "generate.method is 'euler'"),
        ("split", "test_speakers", 0, "split.test_speakers is 0: must be a count above 0, or a list of different"),
        ("split", "test_speakers", [], "split.test_speakers is []"),
        ("split", "val_speakers", ["A", "A"], "split.val_speakers is ['A', 'A']"),
        ("split", "val_speakers", [3], "in quotes, if they are numbers"),
        ("split", "val_speakers", True, "split.val_speakers is True"),
    ],
)
def test_a_wrong_value_is_named(demo: dict[str, Any], section: str, key: str, value: object, says: str) -> None:
    demo[section][key] = value
    with pytest.raises(params.ParamsError) as error:
        params.parse(demo)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("section", "key", "value", "says"),
    [
        ("denoiser", "heads", 7, "denoiser: d_model (64) must be a multiple of heads (7)"),
        ("denoiser", "style_frames_min", 99, "denoiser: style_frames_min (99) must not be more than style_frames (64)"),
        ("style_predictor", "audio_frames_min", 999, "style_predictor: audio_frames_min (999) must not be more than"),
        ("crop", "max_seconds", 0.5, "crop: max_seconds (0.5) must not be less than min_seconds (1.0)"),
        ("renderer", "max_channels", 12, "renderer: max_channels (12) must not be less than edit_channels (16)"),
        ("renderer", "warp_channels", 65, "renderer: max_channels (64) must not be less than warp_channels (65)"),
        ("renderer", "scales", 7, "renderer: scales (7) must be at most 6 for size (64)"),
        ("generate", "steps", 1001, "generate.steps (1001) must not exceed denoiser.diffusion_steps (1000)"),
        (
            "generate",
            "style_steps",
            2000,
            "generate.style_steps (2000) must not exceed style_predictor.diffusion_steps",
        ),
        ("lip_expert", "clip_frames", 99, "lip_expert.clip_frames (99) must not exceed denoiser.clip_frames (32)"),
        ("denoiser", "style_frames", 65, "denoiser.style_frames (65) must not exceed lip_expert.style_frames (64)"),
    ],
)
def test_values_that_do_not_fit_together_are_named_alone(
    demo: dict[str, Any], section: str, key: str, value: object, says: str
) -> None:
    demo[section][key] = value
    with pytest.raises(params.ParamsError) as error:
        params.parse(demo, "params.yaml")
    assert str(error.value).startswith(f"params.yaml: {says}")
    assert len(str(error.value)) < 200


def test_downloads_do_not_go_where_dvc_watches(demo: dict[str, Any]) -> None:
    demo["ingest"] |= {"source": "hdtf", "folder": "data/hdtf"}
    demo["ingest"]["download"]["folder"] = "data/hdtf/videos"
    with pytest.raises(params.ParamsError, match=r"download\.folder \(.*\) must not lie in folder \(data/hdtf\)"):
        params.parse(demo)
    demo["ingest"]["download"]["folder"] = "data/hdtf_videos"
    assert params.parse(demo)


def test_an_unknown_section_and_a_missing_key_are_named(demo: dict[str, Any]) -> None:
    demo["trainer"] = {}
    del demo["crop"]["size"]
    with pytest.raises(params.ParamsError) as error:
        params.parse(demo)
    assert "unknown key trainer" in str(error.value)
    assert "crop.size is missing" in str(error.value)


@pytest.mark.parametrize("text", ["a: [1", "- 1\n- 2", ""])
def test_a_file_that_is_no_mapping_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(params.ParamsError):
        params.load(tmp_path / "params.yaml")
