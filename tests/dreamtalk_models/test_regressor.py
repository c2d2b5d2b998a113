from __future__ import annotations

import pytest
import torch

from dreamtalk_models import checkpoints, regressor
from dreamtalk_models.regressor import Regressor
from tests.dreamtalk_models.helpers import SMALL


@pytest.fixture
def network() -> Regressor:
    return Regressor(motion_dim=6, audio_dim=5, window=2, style_frames=12, lower=[0, 2], **SMALL).eval()


@pytest.fixture
def sound() -> torch.Tensor:
    return torch.randn(2, 7, 5, 5)


@pytest.fixture
def code(network: Regressor) -> torch.Tensor:
    return network.encode_style(torch.randn(2, 12, 6)).detach()


def speak(network: Regressor, sound: torch.Tensor, code: torch.Tensor, guidance: float = 1.0) -> torch.Tensor:
    return network.generate(sound, code, guidance=guidance, generator=torch.Generator(), steps=10, method="ddim")


def test_guidance_goes_from_no_style_over_the_reference_beyond_it(network, sound, code) -> None:
    neutral, styled, strong = (speak(network, sound, code, guidance) for guidance in (0.0, 1.0, 2.0))
    style = torch.randn(2, 12, 6)
    torch.testing.assert_close(speak(network, sound, network.encode_style(style)), network(sound, style))
    torch.testing.assert_close(neutral, network(sound, *network.null_style(2)))
    torch.testing.assert_close(strong - neutral, 2 * (styled - neutral))
    assert (styled - neutral).abs().max() > 1e-3


def test_pieces_of_long_sound_make_the_whole(network, sound, code, monkeypatch) -> None:
    whole = speak(network, sound, code)
    monkeypatch.setattr(regressor, "CHUNK", 3)
    torch.testing.assert_close(speak(network, sound, code), whole)
    assert whole.shape == (2, 7, 6)


def test_nan_in_the_sound_is_told(network, sound, code) -> None:
    sound[1, 2] = float("nan")
    with pytest.raises(ValueError, match="the audio has values that are not finite"):
        speak(network, sound, code)


def test_a_saved_regressor_comes_back_and_is_no_denoiser(network, sound, code, tmp_path) -> None:
    from dreamtalk_models.denoiser import Denoiser

    checkpoints.save(network, tmp_path / "w.safetensors")
    again = checkpoints.load(tmp_path / "w.safetensors", Regressor)
    torch.testing.assert_close(speak(again, sound, code), speak(network, sound, code))
    with pytest.raises(ValueError, match="holds a Regressor, not a Denoiser"):
        checkpoints.load(tmp_path / "w.safetensors", Denoiser)
