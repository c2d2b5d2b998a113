from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from dreamtalk_models.renderers import vgg

# convolutions of torchvision's vgg19 up to conv5_1
NAMES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)


@pytest.fixture(scope="module")
def trunk() -> vgg.VGG19:
    torch.manual_seed(0)
    return vgg.VGG19().eval()


def test_names_and_features_are_those_of_torchvision(trunk):
    wanted = {f"features.{i}.{kind}" for i in NAMES for kind in ("weight", "bias")}
    assert set(trunk.state_dict()) == wanted
    features = trunk(torch.rand(1, 3, 64, 64) * 2 - 1)
    assert [tuple(found.shape[1:]) for found in features] == [
        (64, 64, 64),
        (128, 32, 32),
        (256, 16, 16),
        (512, 8, 8),
        (512, 4, 4),
    ]
    assert all((found >= 0).all() for found in features)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_reads_a_whole_state_dict(tmp_path, trunk, suffix):
    file = tmp_path / f"vgg19{suffix}"
    weights = {**trunk.state_dict(), "classifier.6.bias": torch.zeros(3)}
    if suffix == ".pth":
        torch.save(weights, file)
    else:
        save_file(weights, file)
    found = vgg.load(file)
    assert all(torch.equal(found.state_dict()[name], tensor) for name, tensor in trunk.state_dict().items())
    assert not any(weight.requires_grad for weight in found.parameters())


def test_refuses_what_is_no_vgg19(tmp_path):
    file = tmp_path / "other.safetensors"
    save_file({"features.0.weight": torch.zeros(3)}, file)
    with pytest.raises(ValueError, match="torchvision"):
        vgg.load(file)


def test_losses_are_zero_for_equal_pictures_and_grow_with_the_difference(trunk):
    picture = torch.rand(1, 3, 64, 64) * 2 - 1
    near, far = picture + 0.05 * torch.randn_like(picture), picture.flip(3)
    assert vgg.perceptual_loss(trunk, picture, picture, 3) == 0
    assert vgg.style_loss(trunk, picture, picture) == 0
    assert 0 < vgg.perceptual_loss(trunk, near, picture, 3) < vgg.perceptual_loss(trunk, far, picture, 3)
    assert vgg.style_loss(trunk, 0.3 * picture, picture) > 0
