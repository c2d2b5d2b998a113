from __future__ import annotations

import pytest
import torch
from torch import nn

from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.motion_network import LOWER_FACE
from dreamtalk_models.published import denoiser as published_denoiser
from dreamtalk_models.transformer import MLP, MiddleTokenDecoder, dropout, linear
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
@pytest.mark.parametrize("training", [False, True])
def test_middle_token_decoder_is_the_stock_decoder(layers, training):
    ours, stock = MiddleTokenDecoder(**SMALL | {"layers": layers}), stock_decoder(layers)
    stock.load_state_dict(ours.state_dict())
    target, memory = torch.randn(2, 2, 5, 16), torch.randn(2, 3, 5, 16)
    found = ours.train(training)(target, memory)
    assert found.shape == (2, 3, 2, 16)
    for style in range(2):
        expected = stock(target[:, style].repeat_interleave(3, dim=0), memory.flatten(0, 1))[:, 2]
        torch.testing.assert_close(found[:, :, style], expected.unflatten(0, (2, 3)))


@pytest.mark.parametrize("layers", [1, 3])
def test_middle_token_decoder_has_the_stock_decoders_gradients(layers):
    ours, stock = MiddleTokenDecoder(**SMALL | {"layers": layers}).train(), stock_decoder(layers)
    stock.load_state_dict(ours.state_dict())
    target, memory, weight = torch.randn(2, 1, 5, 16), torch.randn(2, 3, 5, 16), torch.randn(6, 16)
    (ours(target, memory).flatten(0, 2) * weight).sum().backward()
    (stock(target[:, 0].repeat_interleave(3, dim=0), memory.flatten(0, 1))[:, 2] * weight).sum().backward()
    for (name, found), expected in zip(ours.named_parameters(), stock.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-5, msg=name)


def stock_decoder(layers):
    layer = nn.TransformerDecoderLayer(SMALL["d_model"], SMALL["heads"], SMALL["feedforward"], 0.0, batch_first=True)
    return nn.TransformerDecoder(layer, layers, norm=nn.LayerNorm(SMALL["d_model"]))


@pytest.mark.parametrize("chance", [0.1, 0.5])
def test_dropout_keeps_the_mean_and_drops_its_share(chance):
    x = torch.ones(1001, 1001, requires_grad=True)
    dropped = dropout(x, chance, training=True)
    assert (dropped == 0).float().mean() == pytest.approx(chance, abs=2e-3)
    torch.testing.assert_close(dropped.unique(), torch.tensor([0, 1 / (1 - chance)]))
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach())
    assert torch.equal(dropout(x, chance, training=False), x)
    torch.manual_seed(1)
    first = dropout(x, chance, training=True)
    torch.manual_seed(1)
    assert torch.equal(dropout(x, chance, training=True), first)


@pytest.mark.parametrize("relu", [False, True])
def test_linear_is_the_stock_layer_with_and_without_gradients(relu):
    layer, x = nn.Linear(7, 5), torch.randn(2, 3, 7)
    expected = layer(x).relu() if relu else layer(x)
    torch.testing.assert_close(linear(x, layer.weight, layer.bias, relu=relu), expected)
    with torch.no_grad():
        torch.testing.assert_close(linear(x, layer.weight, layer.bias, relu=relu), expected)


def test_mlp_is_the_stock_sequence():
    mlp, x = MLP(7, 5, 4, 3), torch.randn(2, 7)
    expected = nn.Sequential(*mlp)(x)
    with torch.no_grad():
        torch.testing.assert_close(mlp(x), expected)
        torch.testing.assert_close(mlp.rest(mlp[0](x).relu()), expected)


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


def test_rows_stand_for_the_windows_cut_from_them(small_denoiser):
    rows = torch.randn(2, 11, 5)
    windows = rows.unfold(1, 5, 2).transpose(2, 3)
    assert small_denoiser.frames(rows) == small_denoiser.frames(windows) == 4
    torch.testing.assert_close(small_denoiser.encode_audio(rows), small_denoiser.encode_audio(windows))
    part = small_denoiser.audio_of_frames(rows, 1, 2), small_denoiser.audio_of_frames(windows, 1, 2)
    torch.testing.assert_close(*map(small_denoiser.encode_audio, part))


def test_refuses_windows_of_the_wrong_shape(small_denoiser, inputs):
    for shape in [(2, 4, 7, 5), (2, 4, 5, 9), (4, 4, 5), (4, 5, 6), (5, 5)]:
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
