"""Sound, styles and networks out of the ordinary: they work, or one line says which file is wrong and why."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import save_file

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from stages import params
from stages.corpus import decode
from stages.evaluation import coefficients
from stages.evaluation.coefficients import Coefficients
from stages.evaluation.motion import Pose
from stages.evaluation.workshop import Workshop
from tests.flows.test_cli import dreamtalk, generate, says
from tests.stages.evaluation import talking

WEIGHTS = Path("models/denoiser/full/weights.safetensors")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    return talking.repository(tmp_path_factory.mktemp("repository"), root)


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the repository, to be spoiled."""
    shutil.copytree(made, tmp_path / "repository")
    monkeypatch.chdir(tmp_path / "repository")
    return tmp_path / "repository"


def record(samples: np.ndarray, rate: int = 16000) -> str:
    soundfile.write("unusual.wav", samples, rate, subtype="FLOAT")
    return "unusual.wav"


def style(frames: int) -> Coefficients:
    """A style of the repository's own face model."""
    rng = np.random.default_rng(frames)
    rows = [rng.normal(0, 0.3, (frames, width)).astype(np.float32) for width in (talking.DIMS, 3, 3)]
    digest = Workshop(Path(), params.load()).face_model.digest
    identity, rmse = np.zeros(talking.IDENTITY, np.float32), np.ones(frames, np.float32)
    return Coefficients(identity, rows[0], Pose(rows[1], rows[2]), rmse, (256, 256), digest, 25.0)


@pytest.mark.parametrize(
    ("samples", "rate", "frames"),
    [
        (talking.voice(0.02)[160:], 16000, 1),
        (talking.voice(0.05), 16000, 2),
        (talking.voice(0.5)[::2], 8000, 13),
        (np.stack([talking.voice(0.5), talking.voice(0.5, seed=1)], 1), 16000, 13),
        (np.tile(talking.voice(0.5)[:, None], (1, 6)), 16000, 13),
    ],
    ids=["shorter than a frame", "shorter than a window", "8 kHz", "stereo", "six channels"],
)
def test_any_sound_gets_as_many_frames_as_it_touches(here: Path, samples, rate: int, frames: int) -> None:
    result = generate(Path("out.mp4"), voice=record(samples, rate))
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert "silent" not in result.stdout
    assert len(decode.read_video(Path("out.mp4"), 25)) == frames


def test_silence_is_mentioned(here: Path) -> None:
    tone = talking.voice(0.2)
    for samples in (np.zeros(3200, np.float32), np.stack([tone, -tone], 1)):
        result = generate(Path("out.mp4"), voice=record(samples))
        assert result.exit_code == 0, (result.stderr, result.exception)
        assert "unusual.wav is silent" in result.stdout


def test_sound_that_is_no_sound(here: Path) -> None:
    says(generate(Path("out.mp4"), voice=record(np.zeros(0, np.float32))), "unusual.wav", "no sound in it")
    says(generate(Path("out.mp4"), voice=record(np.float32([0, np.nan, 1]))), "unusual.wav", "not finite")
    assert not Path("out.mp4").exists()


@pytest.mark.parametrize("suffix", coefficients.SUFFIXES)
@pytest.mark.parametrize("frames", [1, 10_000])
def test_styles_of_any_length(here: Path, suffix: str, frames: int) -> None:
    coefficients.write(style(frames), Path(f"style{suffix}"))
    result = generate(Path("out.mp4"), "--style", f"style{suffix}", voice=record(talking.voice(0.1)))
    assert result.exit_code == 0, (result.stderr, result.exception)


@pytest.mark.parametrize("suffix", coefficients.SUFFIXES)
def test_styles_that_are_no_numbers(here: Path, suffix: str) -> None:
    spoiled = style(5)
    spoiled.expression[3, 1] = np.nan
    coefficients.write(spoiled, Path(f"style{suffix}"))
    coefficients.write(replace(style(5), pose=Pose(np.full((5, 3), np.inf), np.zeros((5, 3)))), Path(f"pose{suffix}"))
    says(generate(Path("out.mp4"), "--style", f"style{suffix}"), f"style{suffix}", "finite")
    says(generate(Path("out.mp4"), "--pose", f"pose{suffix}"), f"pose{suffix}", "finite")


class Trace:
    """Pickles as a call that would leave a trace."""

    def __reduce__(self):
        return Path.touch, (Path("trace"),)


def truncated() -> None:
    WEIGHTS.write_bytes(WEIGHTS.read_bytes()[:-1000])


def code() -> None:
    WEIGHTS.write_bytes(pickle.dumps({"weights": Trace()}))


def published_code() -> None:
    torch.save({"model_state_dict": {"a": torch.ones(1), "b": Trace()}}, WEIGHTS)


def foreign() -> None:
    save_file({"a": torch.ones(2)}, WEIGHTS)


def another_shape() -> None:
    network = checkpoints.load(WEIGHTS, Denoiser)
    network.config["feedforward"] *= 2
    checkpoints.save(network, WEIGHTS)


def no_numbers() -> None:
    network = checkpoints.load(WEIGHTS, Denoiser)
    next(network.parameters()).data.fill_(torch.nan)
    checkpoints.save(network, WEIGHTS)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncated, "not a whole safetensors file"),
        (code, "not a whole safetensors file"),
        (published_code, "not a whole safetensors file"),
        (foreign, "not one of ours"),
        (another_shape, "instead of"),
        (no_numbers, "not finite"),
    ],
)
def test_networks_that_cannot_be_used(here: Path, spoil, reason: str) -> None:
    spoil()
    says(generate(Path("out.mp4")), str(WEIGHTS), reason, "dvc repro train_denoiser@full")
    assert not Path("trace").exists()


def test_a_network_of_another_face_model(here: Path) -> None:
    other = Denoiser(
        motion_dim=talking.DIMS + 1, audio_dim=talking.BANDS + 3, style_frames=16, decoder="single", **talking.SIZES
    )
    checkpoints.save(other, WEIGHTS)
    says(generate(Path("out.mp4")), "models/denoiser/full", f"{talking.DIMS + 1} expression", "dvc repro")


def test_a_face_model_that_is_none(here: Path) -> None:
    Path("models/face_model/face_model.npz").write_bytes(b"nothing")
    says(generate(Path("out.mp4")), "face_model.npz", "not a face model")
    says(dreamtalk("fit", "face.png", "-o", "out.mat"), "face_model.npz", "dvc repro face_model")
