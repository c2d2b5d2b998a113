"""PIRenderer against a plain implementation that does what the published code does: same weights, same frames.

The plain one draws frame by frame: it reads the portrait anew for each, doubles pictures before it convolves them, and
computes the layers of its residual blocks whose output it throws away. Both run in one process, in turn; processor
time is taken, so that the ratio holds on a busy machine.

python -m benchmarks.pirenderer [--size 256] [--frames 4] [--plain-batch 1] [--repeats 5] [--threads 1]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from copy import deepcopy
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.sampling import in_turn
from dreamtalk_models.renderers.pirenderer import EditingNet, Hourglass, PIRenderer, warp


def plain_forward(network: PIRenderer, portrait: Tensor, driving: Tensor) -> Tensor:
    """fake_image (B, 3, H, W) by the published order of work, from the weights of one of our networks; arguments as
    of :meth:`dreamtalk_models.renderers.pirenderer.PIRenderer.forward`."""
    descriptor = network.mapping_net(driving)
    flow = network.warpping_net.flow_out(_hourglass(network.warpping_net.hourglass, portrait, descriptor))
    return _edit(network.editing_net, torch.cat([portrait, warp(portrait, flow)], 1), descriptor)


def _hourglass(net: Hourglass, portrait: Tensor, descriptor: Tensor) -> Tensor:
    features = [net.encoder["input_layer"](portrait)]
    for name, block in net.encoder.items():
        if name != "input_layer":
            features.append(block(features[-1], descriptor))
    x = features.pop()
    for block in net.decoder.values():
        x = torch.cat([block(x, descriptor), features.pop()], 1)
    return x


def _edit(net: EditingNet, pictures: Tensor, descriptor: Tensor) -> Tensor:
    features = [_layers(net.encoder["first"].model, pictures)]
    levels = len(net.encoder) - 1
    for i in range(levels):
        features.append(functional.avg_pool2d(_layers(net.encoder[f"down{i}"].model, features[-1]), 2))
    x = features.pop()
    for i in reversed(range(levels)):
        for block in net.decoder[f"res{i}"].values():
            functional.leaky_relu(block.norm1(block.conv1(x), descriptor), 0.1)  # thrown away there, too
            x = x + block.norm2(block.conv2(x), descriptor)
        x = _layers(net.decoder[f"up{i}"].model, functional.interpolate(x, scale_factor=2))
        x = x + _layers(net.decoder[f"jump{i}"].model, features.pop())
    return net.decoder["final"].model(x)


def _layers(layers: nn.Sequential, x: Tensor) -> Tensor:
    conv, norm, activation = layers
    x = conv(x)
    shape = x.shape[1:]
    return activation(functional.layer_norm(x, shape, norm.weight.expand(shape), norm.bias.expand(shape)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--plain-batch", type=int, default=1, help="frames that the plain one draws at once")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    network = PIRenderer().eval()
    drawing = deepcopy(network).to(memory_format=torch.channels_last)  # as stages/evaluation/rendering.py draws
    portrait = torch.rand(1, 3, given.size, given.size) * 2 - 1
    driving = torch.randn(given.frames, 73, 27)

    def plain() -> Tensor:
        parts = driving.split(given.plain_batch)
        return torch.cat([plain_forward(network, portrait.expand(len(part), -1, -1, -1), part) for part in parts])

    def ours() -> Tensor:
        studied = drawing.study(portrait)
        return torch.cat([drawing.animate(studied, part)["fake_image"] for part in driving.split(1)])

    functions: dict[str, Callable[[], Tensor]] = {"plain": plain, "ours": ours}
    with torch.no_grad():
        difference = float((plain() - ours()).abs().max())
        seconds = in_turn(functions, given.repeats)
    for name, values in seconds.items():
        print(f"{name}: {median(values) / given.frames:.3f} s of processor time a frame at {given.size} px")
    ratios = [plain / ours for plain, ours in zip(seconds["plain"], seconds["ours"], strict=True)]
    print(f"ratio {median(ratios):.2f} (each turn: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")
    print(f"largest difference of a picture in [-1, 1]: {difference:.1e}")


if __name__ == "__main__":
    main()
