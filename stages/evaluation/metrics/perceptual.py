"""LPIPS: perceptual distance of pictures (Zhang et al., CVPR 2018; version 0.1, VGG16).

The features are those of the user's file of VGG16 weights, as torchvision gives it; the published weights of the
layers, 6 kB, come with torchmetrics.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torchmetrics
from torch import Tensor, nn
from torch.nn import functional

LAYERS = Path(torchmetrics.__file__).parent / "functional/image/lpips_models/vgg.pth"
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # channels; halved between blocks
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
BATCH = 8  # frames; it bounds memory and changes no result
EPSILON = 1e-10


class Lpips(nn.Module):
    """The distance, with the weights of two files of tensors.

    Args:
        vgg: VGG16 as torchvision saves it ("features.0.weight" …); what follows the convolutions is not used.
        layers: LPIPS' own ("lin0.model.1.weight" …).

    Raises:
        ValueError: a file is missing, is no file of tensors, or lacks one; it is named.
    """

    def __init__(self, vgg: Path, layers: Path = LAYERS) -> None:
        super().__init__()
        content, weights = _tensors(vgg), _tensors(layers)
        self.blocks = nn.ModuleList()
        channels = place = 0
        for block in BLOCKS:
            convolutions = []
            for width in block:
                convolution = nn.Conv2d(channels or 3, width, 3, padding=1)
                _fill(convolution, content, f"features.{place}", vgg)
                convolutions += [convolution, nn.ReLU()]
                channels, place = width, place + 2
            place += 1  # torchvision counts the pooling
            self.blocks.append(nn.Sequential(*convolutions))
        names = [f"lin{i}.model.1.weight" for i in range(len(BLOCKS))]
        missing = [name for name in names if name not in weights]
        if missing:
            raise ValueError(f"{layers} lacks {', '.join(missing)}: it is no file of LPIPS' layers for VGG16")
        self.weights = nn.ParameterList(nn.Parameter(weights[name], requires_grad=False) for name in names)
        self.eval().requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances (B,) of pictures (B, 3, H, W) in [-1, 1]; 0 for equal ones, lower is more alike."""
        shift, scale = (torch.tensor(values, dtype=a.dtype)[:, None, None] for values in (SHIFT, SCALE))
        a, b = (a - shift) / scale, (b - shift) / scale
        total = a.new_zeros(len(a))
        for i, (block, weight) in enumerate(zip(self.blocks, self.weights, strict=True)):
            if i:
                a, b = functional.max_pool2d(a, 2), functional.max_pool2d(b, 2)
            a, b = block(a), block(b)
            total = total + functional.conv2d((_unit(a) - _unit(b)) ** 2, weight).mean((1, 2, 3))
        return total


@torch.inference_mode()
def lpips(net: Lpips, truth: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """LPIPS of every frame, no unit; lower is better.

    Args:
        truth, generated: (n, H, W, 3) uint8 RGB of one shape.

    Returns:
        (n,) float64.
    """
    pairs = [slice(i, i + BATCH) for i in range(0, len(truth), BATCH)]
    found = [net(_signed(truth[part]), _signed(generated[part])).double() for part in pairs]
    return torch.cat(found).numpy() if found else np.zeros(0)


def _signed(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + EPSILON)


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"no weights at {path} (evaluate.vgg16_weights)")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.float() for name, tensor in content.items()}
    except Exception as error:  # foreign bytes can make the unpickler fail in any way
        raise ValueError(f"{path} is no file of tensors: {str(error).splitlines()[0]}") from error


def _fill(convolution: nn.Conv2d, content: dict[str, Tensor], name: str, path: Path) -> None:
    for part in ("weight", "bias"):
        own, given = getattr(convolution, part), content.get(f"{name}.{part}")
        if given is None or given.shape != own.shape:
            shape = "nothing" if given is None else tuple(given.shape)
            raise ValueError(f"{path}: {name}.{part} should be {tuple(own.shape)}, is {shape}: no VGG16 of torchvision")
        own.data.copy_(given)
