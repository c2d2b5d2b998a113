"""VGG19's trunk (Simonyan and Zisserman, ICLR 2015) up to relu5_1, and the losses that PIRenderer was trained with.

The weights are torchvision's (`vgg19`, ImageNet), which the user fetches; parameters are named as in its files.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

# Channels of each convolution and "M" for each halving; the last convolution is conv5_1.
_LAYERS = (64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M", 512, 512, 512, 512, "M", 512)
_HEARD = (1, 6, 11, 20, 29)  # relu1_1 … relu5_1
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which the weights expect


class VGG19(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] → features relu1_1 to relu5_1, coarser each; frozen."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in _LAYERS:
            if width == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)
        self.requires_grad_(False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        x = ((picture + 1) / 2 - self.mean) / self.std
        found = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in _HEARD:
                found.append(x)
        return found


def load(path: str | Path) -> VGG19:
    """The trunk from torchvision's vgg19 weights, a .safetensors or .pth state dict; its other layers are left.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, holds pickled code, or is no VGG19.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no VGG19 weights at {path} (renderer.vgg)")
    try:
        weights = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
        network = VGG19()
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
    except (SafetensorError, KeyError, TypeError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not torchvision's vgg19 state dict (renderer.vgg): {error}") from error
    except Exception as error:  # foreign bytes can make the unpickler fail in any way
        raise ValueError(f"{path} cannot be read as weights without running code (renderer.vgg): {error}") from error
    return network.eval()


def perceptual_loss(vgg: VGG19, picture: Tensor, target: Tensor, scales: int) -> Tensor:
    """Mean L1 distance of each feature, summed over the five, and over `scales` halvings of the pictures (Ren et al.
    2021; Johnson et al. 2016).

    Args:
        picture, target: (B, 3, H, W) in [-1, 1]; H and W at least 16 · 2^(scales - 1).
    """
    total = picture.new_zeros(())
    for scale in range(scales):
        if scale:
            picture, target = (functional.interpolate(x, scale_factor=0.5, mode="bilinear") for x in (picture, target))
        for ours, theirs in zip(vgg(picture), vgg(target), strict=True):
            total = total + functional.l1_loss(ours, theirs)
    return total


def style_loss(vgg: VGG19, picture: Tensor, target: Tensor) -> Tensor:
    """Mean L1 distance of the features' Gram matrices, summed over the five (Gatys et al. 2016)."""
    pairs = zip(vgg(picture), vgg(target), strict=True)
    return sum((functional.l1_loss(_gram(ours), _gram(theirs)) for ours, theirs in pairs), picture.new_zeros(()))


def _gram(features: Tensor) -> Tensor:
    flat = features.flatten(2)
    return flat @ flat.mT / (flat.shape[1] * flat.shape[2])
