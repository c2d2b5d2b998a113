from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from dreamtalk_models.renderers.pirenderer import PIRenderer
from dreamtalk_models.renderers.start import start_as_warped


@pytest.mark.parametrize("contrast", [1.0, 0.5])
def test_what_is_drawn_at_first_is_the_warped_picture(contrast):
    torch.manual_seed(0)
    network = PIRenderer(driving_dim=5, descriptor=16, warp_channels=4, edit_channels=16, max_channels=32)
    start_as_warped(network)
    noise = torch.rand(1, 3, 9, 9) * 2 - 1
    portrait = contrast * functional.interpolate(noise, size=(64, 64), mode="bicubic").clamp(-1, 1)
    with torch.no_grad():
        output = network(portrait, torch.randn(1, 5, 27))
    assert output["flow_field"].abs().max() == 0
    drawn, warped = output["fake_image"].flatten(), output["warp_image"].flatten()
    assert torch.corrcoef(torch.stack([drawn, warped]))[0, 1] > 0.95
    assert (drawn - warped).abs().mean() < 0.15


def test_at_first_the_wanted_frame_alone_drives():
    network = PIRenderer(driving_dim=5, descriptor=16, warp_channels=4, edit_channels=16, max_channels=32)
    start_as_warped(network)
    driving = torch.randn(1, 5, 27)
    around = driving.clone()
    around[..., :12] = around[..., 15:] = 0  # one frame either side stays: the published mean is over three
    with torch.no_grad():
        seen, seen_around = network.mapping_net(driving), network.mapping_net(around)
        assert torch.equal(seen, seen_around) and seen.std() > 0.3
        assert not torch.equal(seen, network.mapping_net(torch.zeros_like(driving)))


def test_too_few_channels_are_refused():
    with pytest.raises(ValueError, match="edit_channels"):
        start_as_warped(PIRenderer(driving_dim=5, descriptor=8, warp_channels=4, edit_channels=4, max_channels=8))
