from __future__ import annotations

import pytest
import torch

from benchmarks.pirenderer import plain_forward
from dreamtalk_models.published import pirenderer as published_pirenderer
from dreamtalk_models.renderers.pirenderer import PIRenderer, warp
from tests.dreamtalk_models.helpers import assert_golden, overfit, weights, without_gradient

SMALL = {"driving_dim": 5, "descriptor": 16, "warp_channels": 4, "edit_channels": 8, "max_channels": 16}


def test_computes_the_published_function(golden):
    vectors = golden("pirenderer_small.npz")
    network = published_pirenderer({"net_G_ema": weights(vectors)}, "golden").double()  # alike on every processor
    with torch.no_grad():
        output = network(vectors["in/image"].double(), vectors["in/driving"].double())
    assert_golden(output["flow_field"].float(), vectors["out/flow_field"])
    for name in ("warp_image", "fake_image"):  # an edge shows ten times the rounding of its flow
        assert_golden(output[name].float(), vectors[f"out/{name}"], atol=5e-5)


def test_has_the_published_parameters(golden_json):
    shapes = golden_json("pirenderer_keys.json")
    assert {key: list(tensor.shape) for key, tensor in PIRenderer().state_dict().items()} == shapes


def test_warp_stage_leaves_out_the_editing():
    network = PIRenderer(**SMALL).eval()
    portrait, driving = torch.rand(1, 3, 64, 96) * 2 - 1, torch.randn(1, 5, 27)
    whole, warped = network(portrait, driving), network(portrait, driving, stage="warp")
    assert set(warped) == {"flow_field", "warp_image"}
    assert torch.equal(warped["warp_image"], whole["warp_image"])
    assert whole["flow_field"].shape == (1, 2, 16, 24)
    assert whole["fake_image"].shape == (1, 3, 64, 96)
    assert whole["fake_image"].abs().max() <= 1


def test_warp_moves_the_picture_against_the_flow():
    image = torch.zeros(1, 1, 65, 65)
    image[..., 32, 32] = 1
    moved = warp(torch.nn.functional.avg_pool2d(image, 5, 1, 2), torch.full((1, 2, 65, 65), 4.0))
    row, column = divmod(int(moved.argmax()), 65)
    assert abs(row - 28) <= 2
    assert abs(column - 28) <= 2


def test_gradient_reaches_what_the_function_uses():
    torch.manual_seed(0)
    network = PIRenderer(**SMALL)
    network(torch.rand(2, 3, 64, 64) * 2 - 1, torch.randn(2, 5, 27))["fake_image"].square().mean().backward()
    unused = {name for name in without_gradient(network) if "conv1" not in name and "norm1" not in name}
    assert all(name.endswith("bias") for name in unused)


def test_learns_a_picture():
    torch.manual_seed(0)
    network = PIRenderer(**SMALL)
    portrait, driving = torch.rand(2, 3, 64, 64) * 2 - 1, torch.randn(2, 5, 27)
    truth = portrait.roll(3, dims=3) * 0.5
    first, last = overfit(network, lambda: (network(portrait, driving)["fake_image"] - truth).abs().mean(), steps=40)
    assert last < 0.8 * first


def test_a_portrait_studied_once_gives_the_same_frames():
    torch.manual_seed(0)
    network = PIRenderer(**SMALL).eval()
    portrait, driving = torch.rand(1, 3, 64, 64) * 2 - 1, torch.randn(3, 5, 27)
    with torch.no_grad():
        each = network(portrait.expand(3, -1, -1, -1), driving)
        together = network.animate(network.study(portrait), driving)
    for name, picture in each.items():
        torch.testing.assert_close(together[name], picture, atol=1e-5, rtol=1e-4)


def test_does_what_the_published_forward_does_step_by_step():
    torch.manual_seed(0)
    network = PIRenderer(**SMALL).eval()
    portrait, driving = torch.rand(2, 3, 64, 96) * 2 - 1, torch.randn(2, 5, 27)
    with torch.no_grad():
        difference = network(portrait, driving)["fake_image"] - plain_forward(network, portrait, driving)
    assert difference.abs().max() < 1e-4


@pytest.mark.parametrize("size", [(32, 64), (64, 80)])
def test_refuses_portraits_that_do_not_halve_five_times(size):
    with pytest.raises(ValueError, match="multiples of 32"):
        PIRenderer(**SMALL)(torch.zeros(1, 3, *size), torch.zeros(1, 5, 27))


def test_refuses_too_few_driving_frames():
    with pytest.raises(ValueError, match="25 frames"):
        PIRenderer(**SMALL)(torch.zeros(1, 3, 64, 64), torch.zeros(1, 5, 24))
