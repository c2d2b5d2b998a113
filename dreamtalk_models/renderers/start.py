"""A first guess for PIRenderer's training: nothing moves, the editing network hands on the warped picture, and of the
motion around the wanted frame it sees that frame's own.

Weights alone are set; the network's structure stays the published one. Its layer norms take a picture's own mean and
contrast away, so a constant channel is made to outweigh the picture in them: what comes out is then nearly the picture.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from dreamtalk_models.renderers.pirenderer import SLOPE, MappingNet, PIRenderer

PICTURE, NEGATIVE, CONSTANT = slice(0, 3), slice(3, 6), 6  # channels that carry the picture; both signs pass a ReLU
LOUD = 4.0  # of the constant, against a picture's 0.5
CONTRAST = 1.2  # before the last tanh, which flattens what is bright and dark
HUSH = 0.1  # of all other channels in the first pictures


@torch.no_grad()
def start_as_warped(network: PIRenderer) -> None:
    """Set a new network's weights so that fake_image is nearly warp_image, and warp_image the portrait.

    Raises:
        ValueError: edit_channels is less than 8, too few to carry a picture and learn beside it.
    """
    if network.config["edit_channels"] < 8:
        raise ValueError(f"edit_channels must be at least 8 to start from the warped picture, not {network.config}")
    _see_the_middle(network.mapping_net)
    flow = network.warpping_net.flow_out[2]
    flow.weight.zero_()
    flow.bias.zero_()

    editing = network.editing_net
    first, jump = editing.encoder["first"].model, editing.decoder["jump0"].model
    scale = _hand_on(first, torch.eye(3), columns=slice(3, 6))
    pair = torch.cat([torch.eye(3), -torch.eye(3)], 1) / (1 + SLOPE)
    scale = _hand_on(jump, pair * scale, columns=slice(0, 6))
    editing.decoder["up0"].model[1].weight[: CONSTANT + 1] = 0.0
    final = editing.decoder["final"].model[0]
    final.weight.mul_(HUSH)
    final.bias.zero_()
    final.weight[:, : CONSTANT + 1] = 0.0
    centre = final.kernel_size[0] // 2
    final.weight[:, :CONSTANT, centre, centre] = CONTRAST * scale * pair


def _see_the_middle(mapping: MappingNet) -> None:
    """Let each convolution over time begin with its middle frame alone: lips move faster than a second's mean."""
    for layers in mapping.children():
        weight = layers[-1].weight
        middle = weight.shape[2] // 2
        seen = weight[:, :, middle] * math.sqrt(weight.shape[2])
        weight.zero_()
        weight[:, :, middle] = seen


def _hand_on(layers: nn.Sequential, picture: torch.Tensor, *, columns: slice) -> float:
    """Make a convolution and its norm carry `picture` (3, columns) of their input on; returns what undoes the norm."""
    conv, norm = layers[0], layers[1]
    conv.weight[: CONSTANT + 1] = 0.0
    conv.bias[: CONSTANT + 1] = 0.0
    centre = conv.kernel_size[0] // 2
    conv.weight[PICTURE, columns, centre, centre] = picture
    conv.weight[NEGATIVE, columns, centre, centre] = -picture
    conv.bias[CONSTANT] = LOUD
    channels = conv.out_channels
    mean = LOUD / channels
    deviation = math.sqrt(LOUD**2 / channels - mean**2 + 6 / channels * 0.25)
    norm.bias[:CONSTANT] = mean / deviation
    return deviation
