from __future__ import annotations

import pytest
import torch
from torch import nn

from dreamtalk_models.denoiser import LOWER_FACE, Denoiser
from dreamtalk_models.published import denoiser as published_denoiser
from dreamtalk_models.transformer import MiddleTokenDecoder
from tests.dreamtalk_models.helpers import SMALL, assert_golden, overfit, weights, without_gradient


@pytest.fixture
def inputs():
    style_mask = torch.zeros(2, 12, dtype=torch.bool)
    style_mask[1, 7:] = True
    return {
        "x_t": torch.randn(2, 4, 6),
        "t": torch.tensor([3.0, 900.0]),
        "audio": torch.randn(2, 4, 5, 5),
        "style": torch.randn(2, 12, 6),
        "style_mask": style_mask,
    }


def test_computes_the_published_function(golden):
    vectors = golden("dreamtalk_denoiser_small.npz")
    network = published_denoiser({"model_state_dict": weights(vectors, "diff_net.")}, "golden")
    inputs = [vectors[f"in/{name}"] for name in ("x", "t", "audio", "style", "mask")]
    with torch.no_grad():
        assert_golden(network.encode_audio(inputs[2]), vectors["out/content"])
        assert_golden(network.encode_style(*inputs[3:]), vectors["out/style_code"])
        assert_golden(network(*inputs), vectors["out/x0"])


def test_takes_the_full_published_weights(golden_json):
    shapes = golden_json("dreamtalk_denoiser_keys.json")
    state = {f"diff_net.{key}": torch.zeros(shape) for key, shape in shapes.items()}
    network = published_denoiser({"model_state_dict": state}, "official")
    assert network.config == Denoiser().config
    assert sum(p.numel() for p in network.parameters()) == 11_857_729


def test_published_split():
    assert LOWER_FACE == (0, 1, 2, 3, 4, 5, 7, 9, 10, 11, 12, 13, 14)


@pytest.mark.parametrize("layers", [1, 3])
def test_middle_token_decoder_is_the_stock_decoder(layers):
    sizes = {"d_model": 16, "heads": 2, "feedforward": 32, "layers": layers, "dropout": 0.1}
    ours = MiddleTokenDecoder(**sizes).eval()
    layer = nn.TransformerDecoderLayer(16, 2, 32, 0.1, batch_first=True)
    stock = nn.TransformerDecoder(layer, layers, norm=nn.LayerNorm(16)).eval()
    stock.load_state_dict(ours.state_dict())
    target, memory = torch.randn(2, 5, 16), torch.randn(2, 3, 5, 16)
    expected = stock(target.repeat_interleave(3, dim=0), memory.flatten(0, 1))[:, 2].unflatten(0, (2, 3))
    torch.testing.assert_close(ours(target, memory), expected)


@pytest.mark.parametrize("decoder", ["split", "single"])
def test_frames_are_denoised_each_on_its_own(inputs, decoder):
    network = Denoiser(motion_dim=6, audio_dim=5, window=2, style_frames=12, lower=[0, 2], decoder=decoder, **SMALL)
    network.eval()
    whole = network(**inputs)
    assert whole.shape == (2, 4, 6)
    alone = network(**{**inputs, "x_t": inputs["x_t"][:, 1:2], "audio": inputs["audio"][:, 1:2]})
    torch.testing.assert_close(alone, whole[:, 1:2])


def test_padding_of_the_style_is_not_read(small_denoiser, inputs):
    other = inputs["style"].clone()
    other[1, 7:] = 100.0
    torch.testing.assert_close(small_denoiser(**{**inputs, "style": other}), small_denoiser(**inputs))
    shorter = small_denoiser.encode_style(inputs["style"][1:, :7])
    torch.testing.assert_close(small_denoiser.encode_style(inputs["style"], inputs["style_mask"])[1:], shorter)


def test_null_style_is_unmasked_zeros(small_denoiser):
    style, mask = small_denoiser.null_style(3)
    assert style.shape == (3, 12, 6)
    assert mask.shape == (3, 12)
    assert not style.any()
    assert not mask.any()
    torch.testing.assert_close(small_denoiser.null_style_code(3), small_denoiser.encode_style(style, mask))


@pytest.mark.parametrize("decoder", ["split", "single"])
def test_gradient_reaches_every_parameter(inputs, decoder):
    network = Denoiser(motion_dim=6, audio_dim=5, window=2, style_frames=12, lower=[0, 2], decoder=decoder, **SMALL)
    network(**inputs).square().sum().backward()
    # a bias that all pooling scores share cancels in the softmax
    assert [name for name in without_gradient(network) if "score.2.bias" not in name] == []


def test_layers_start_with_weights_of_their_own(small_denoiser):
    first, second = (layer.linear1.weight for layer in small_denoiser.audio_encoder.encoder.layers)
    assert not torch.equal(first, second)


def test_overfits_a_clip(inputs):
    network = Denoiser(motion_dim=6, audio_dim=5, window=2, style_frames=12, lower=[0, 2], **SMALL)
    x0 = torch.randn(2, 4, 6)
    first, last = overfit(network, lambda: (network(**inputs) - x0).square().mean(), steps=150, rate=3e-3)
    assert last < first / 10


def test_refuses_windows_of_the_wrong_shape(small_denoiser, inputs):
    for shape in [(2, 4, 7, 5), (2, 4, 5, 9), (4, 5, 5)]:
        with pytest.raises(ValueError, match=r"\(B, L, 5, 5\)"):
            small_denoiser.encode_audio(torch.zeros(shape))


def test_refuses_a_style_longer_than_it_has_positions(small_denoiser):
    with pytest.raises(ValueError, match="13 does not fit 12"):
        small_denoiser.encode_style(torch.zeros(1, 13, 6))


@pytest.mark.parametrize("lower", [[], [0, 0], [0, 9], list(range(6))])
def test_refuses_impossible_face_parts(lower):
    with pytest.raises(ValueError, match="lower"):
        Denoiser(motion_dim=6, lower=lower, **SMALL)


def test_refuses_an_unknown_decoder():
    with pytest.raises(ValueError, match="split"):
        Denoiser(decoder="both", **SMALL)
