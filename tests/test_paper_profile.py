"""The paper's own sizes for real: the whole graph with the `paper` profile on a handful of clips, a few steps of each
network, and wav2vec 2.0 of the published shape with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.renderers.pirenderer import PIRenderer
from dreamtalk_models.syncnet import SyncNet
from stages.columns import Columns
from stages.corpus import decode
from stages.corpus.demo.emotions import Clip
from stages.corpus.demo.photograph import photograph
from stages.corpus.demo.render import Actor, Studio, make_clip
from stages.corpus.encode import write_mp4
from tests.test_graph import dvc, make_project

pytestmark = [pytest.mark.slow, pytest.mark.paper]

SPEAKERS = 3  # one each to learn from, to validate with, and to test on
STYLES = (("angry", 3), ("neutral", 1))
FPS, RATE = 25, 16000
FRAMES = 30  # PIRenderer takes more than a second for each on one core
FEW = [  # what makes it a matter of minutes; no size of a network is among it
    "split.test_speakers=1",
    "training.validations=1",
    "lip_expert.steps=2",
    "lip_expert.batch=16",
    "denoiser.steps=2",
    "denoiser.batch=4",
    "denoiser.clip_frames=8",
    "style_predictor.steps=2",
    "style_predictor.batch=4",
    "syncnet.steps=2",
    "syncnet.batch=8",
    "renderer.warp_steps=1",
    "renderer.joint_steps=1",
    "renderer.batch=2",
    "renderer.frames_per_clip=2",
    "generate.max_clips=1",
    "generate.pirenderer_clips=1",
    "report.guidance_scales=[1.0,2.0]",
    "report.intensity_clips=1",
    "report.intensity_pictures=1",
    "report.gallery_clips=1",
    "report.gallery_seconds=0.4",
]


def write_wav2vec(folder: Path) -> None:
    """wav2vec 2.0 large, as XLSR-53: 24 layers of 1024 channels, 315 million random weights."""
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    config = Wav2Vec2Config(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        feat_extract_norm="layer",
        conv_bias=True,
        do_stable_layer_norm=True,
    )
    torch.manual_seed(0)
    Wav2Vec2Model(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)


def film(folder: Path) -> None:
    """Videos of SPEAKERS in STYLES, cut after FRAMES."""
    studio = Studio(photograph(), 288, 1.2, 0.85, 0)
    (folder / "truth").mkdir()
    for speaker in range(SPEAKERS):
        actor = Actor(studio, speaker)
        for emotion, level in STYLES:
            make_clip(studio, actor, Clip(speaker, emotion, level, 1), folder)
    for path in sorted(folder.rglob("*.mp4")):
        pictures, sound = decode.read_video(path, FPS)[:FRAMES], decode.read_audio(path, RATE)
        write_mp4(path, pictures, FPS, sound[: FRAMES * RATE // FPS], RATE)


@pytest.fixture(scope="module")
def project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("paper")
    write_wav2vec(folder / "wav2vec2")
    project = folder / "project"
    project.mkdir()
    make_project(root, project, ["profile=paper", f"audio.checkpoint={folder / 'wav2vec2'}", *FEW])
    film(project / "data")
    return project


def test_the_whole_graph_at_the_published_sizes(project: Path) -> None:
    dvc(project, "repro")
    denoiser = checkpoints.load(project / "models/denoiser/full/weights.safetensors", Denoiser)
    learned = {"motion_dim", "audio_dim", "lower"}  # from the corpus
    assert {k: v for k, v in denoiser.config.items() if k not in learned} == {
        k: v for k, v in Denoiser().config.items() if k not in learned
    }
    assert (denoiser.config["motion_dim"], denoiser.config["audio_dim"]) == (64, 1024)
    assert checkpoints.load(project / "models/syncnet/weights.safetensors", SyncNet).config == SyncNet().config
    renderer = checkpoints.load(project / "models/renderer/weights.safetensors", PIRenderer)
    assert renderer.config == PIRenderer().config
    audio, motion = Columns(project / "data/audio"), Columns(project / "data/motion")
    assert len(audio) == SPEAKERS * len(STYLES)
    for clip in audio:
        assert audio[clip]["features"].shape == (2 * len(motion[clip]["expression"]), 1024)
    assert json.loads((project / "metrics/evaluate/full.json").read_text())
    assert "paper" in (project / "reports/index.html").read_text(encoding="utf-8")
