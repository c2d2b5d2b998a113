"""PIRenderer: a portrait moved by motion coefficients (Ren et al. 2021, RenYurui/PIRender).

Three stages: driving coefficients → descriptor, descriptor → flow that warps the portrait, editing of the warped
picture. Parameters are named as in the published files; the function is theirs, computed with less work: what needs the
portrait alone is done once for all its frames, a doubling and the convolution after it are one, and layers whose
output the published network throws away are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.1  # of every leaky ReLU
ADAIN_HIDDEN = 128
WARP_DOWN, WARP_UP = 5, 3
EDIT_LEVELS, EDIT_BLOCKS = 3, 2


@dataclass(frozen=True)
class Studied:
    """A portrait and what both stages make of it before any motion.

    Attributes:
        portrait: (B, 3, H, W) in [-1, 1]. warping: (B, warp_channels, H, W). editing: (B, edit_channels, H, W).
    """

    portrait: Tensor
    warping: Tensor
    editing: Tensor


class PIRenderer(nn.Module):
    """Face generator; the defaults are the published sizes.

    Args:
        driving_dim: coefficients a frame; 73 = 64 expression + 3 angles + 3 translation + 3 crop.
        descriptor: length of the motion descriptor.
        warp_channels, edit_channels: width of the first layer of the warping and editing stages.
        max_channels: widest layer of both.
    """

    def __init__(
        self,
        *,
        driving_dim: int = 73,
        descriptor: int = 256,
        warp_channels: int = 32,
        edit_channels: int = 64,
        max_channels: int = 256,
    ) -> None:
        super().__init__()
        self.config = {
            "driving_dim": driving_dim,
            "descriptor": descriptor,
            "warp_channels": warp_channels,
            "edit_channels": edit_channels,
            "max_channels": max_channels,
        }
        self.mapping_net = MappingNet(driving_dim, descriptor)
        self.warpping_net = WarpingNet(descriptor, warp_channels, max_channels)
        self.editing_net = EditingNet(descriptor, edit_channels, max_channels)

    def forward(self, portrait: Tensor, driving: Tensor, stage: str = "edit") -> dict[str, Tensor]:
        """Render frames.

        Args:
            portrait: (B, 3, H, W) in [-1, 1]; H and W multiples of 32, at least 64.
            driving: (B, driving_dim, n) coefficients of the frames around each wanted one, n ≥ 25 (published: 27).
            stage: "warp" stops before the editing network, as the first phase of training does.

        Returns:
            flow_field (B, 2, H/4, W/4) in px of that size; warp_image and, for "edit", fake_image (B, 3, H, W).

        Raises:
            ValueError: the portrait's size or the number of driving frames does not fit.
        """
        return self.animate(self.study(portrait), driving, stage)

    def study(self, portrait: Tensor) -> Studied:
        """What can be computed before any motion is known; arguments and errors as of :meth:`forward`."""
        height, width = portrait.shape[2:]
        if min(height, width) < 64 or height % 32 or width % 32:
            raise ValueError(f"portrait must have sides that are multiples of 32, at least 64, not {width}x{height}")
        return Studied(portrait, self.warpping_net.study(portrait), self.editing_net.study(portrait))

    def animate(self, studied: Studied, driving: Tensor, stage: str = "edit") -> dict[str, Tensor]:
        """Frames of studied portraits, one for each row of `driving`, or one for all; else as :meth:`forward`."""
        descriptor = self.mapping_net(driving)
        # the portrait's precision under autocast too: bfloat16 cannot tell neighbouring pixels of a picture apart
        flow = self.warpping_net(studied.warping, descriptor).to(studied.portrait.dtype)
        warped = warp(studied.portrait.expand(len(flow), -1, -1, -1), flow)
        output = {"flow_field": flow, "warp_image": warped}
        if stage == "edit":
            output["fake_image"] = self.editing_net(studied.editing, warped, descriptor)
        return output


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Sample image (B, C, H, W) where flow (B, 2, h, w) points: displacement (x, y) in px of the flow's own grid."""
    height, width = flow.shape[2:]
    y = torch.linspace(-1, 1, height, device=flow.device, dtype=flow.dtype)
    x = torch.linspace(-1, 1, width, device=flow.device, dtype=flow.dtype)
    rest = torch.stack(torch.meshgrid(x, y, indexing="xy"))
    scale = flow.new_tensor([2 / (width - 1), 2 / (height - 1)])[:, None, None]
    grid = F.interpolate(rest + scale * flow, size=image.shape[2:], mode="bilinear")
    # the published weights run with the default of torch ≥ 1.3, although the grid itself puts ±1 on pixel centres
    return F.grid_sample(image, grid.permute(0, 2, 3, 1), align_corners=False)


class MappingNet(nn.Module):
    """(B, driving_dim, n) → (B, descriptor): unpadded temporal convolutions, then the mean over time."""

    def __init__(self, driving_dim: int, descriptor: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(driving_dim, descriptor, 7))
        for i in range(3):
            conv = nn.Conv1d(descriptor, descriptor, 3, dilation=3)
            self.add_module(f"encoder{i}", nn.Sequential(nn.LeakyReLU(SLOPE), conv))

    def forward(self, driving: Tensor) -> Tensor:
        if driving.shape[2] < 25:
            raise ValueError(f"driving needs at least 25 frames around each wanted one, not {driving.shape[2]}")
        x = self.first(driving)
        for i in range(3):
            x = self.get_submodule(f"encoder{i}")(x) + x[:, :, 3:-3]
        return x.mean(2)


class AdaIN(nn.Module):
    """Instance norm whose gain and bias come from the descriptor."""

    def __init__(self, channels: int, descriptor: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Linear(descriptor, ADAIN_HIDDEN), nn.ReLU())
        self.mlp_gamma = nn.Linear(ADAIN_HIDDEN, channels)
        self.mlp_beta = nn.Linear(ADAIN_HIDDEN, channels)

    def forward(self, x: Tensor, descriptor: Tensor) -> Tensor:
        hidden = self.mlp_shared(descriptor)
        gain, bias = 1 + self.mlp_gamma(hidden)[..., None, None], self.mlp_beta(hidden)[..., None, None]
        return F.instance_norm(x) * gain + bias


class LayerNorm2d(nn.Module):
    """Layer norm over (C, H, W) with a gain and bias per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, 1, self.weight.flatten(), self.bias.flatten())


class WarpingNet(nn.Module):
    """AdaIN hourglass from the portrait to a flow field at a quarter of its size."""

    def __init__(self, descriptor: int, channels: int, max_channels: int) -> None:
        super().__init__()
        self.hourglass = Hourglass(descriptor, channels, max_channels)
        width = 2 * _width(channels, WARP_DOWN - WARP_UP, max_channels)
        self.flow_out = nn.Sequential(LayerNorm2d(width), nn.LeakyReLU(SLOPE), nn.Conv2d(width, 2, 7, padding=3))

    def study(self, portrait: Tensor) -> Tensor:
        return self.hourglass.encoder["input_layer"](portrait)

    def forward(self, studied: Tensor, descriptor: Tensor) -> Tensor:
        return self.flow_out(self.hourglass(studied, descriptor))


class Hourglass(nn.Module):
    """Encoder of five halvings, decoder of three doublings, features of the encoder joined on at each."""

    def __init__(self, descriptor: int, channels: int, max_channels: int) -> None:
        super().__init__()
        widths = [_width(channels, i, max_channels) for i in range(WARP_DOWN + 1)]
        self.encoder = nn.ModuleDict({"input_layer": nn.Conv2d(3, channels, 7, padding=3)})
        for i in range(WARP_DOWN):
            self.encoder[f"encoder{i}"] = DownBlock(widths[i], widths[i + 1], descriptor)
        self.decoder = nn.ModuleDict()
        for i in reversed(range(WARP_DOWN - WARP_UP, WARP_DOWN)):
            joined = widths[i + 1] * (1 if i == WARP_DOWN - 1 else 2)
            self.decoder[f"decoder{i}"] = UpBlock(joined, widths[i], descriptor)

    def forward(self, studied: Tensor, descriptor: Tensor) -> Tensor:
        features = [studied]
        for i in range(WARP_DOWN):
            features.append(self.encoder[f"encoder{i}"](features[-1], descriptor))
        x = features.pop()
        for block in self.decoder.values():
            x = torch.cat([block(x, descriptor), features.pop()], dim=1)
        return x


class DownBlock(nn.Module):
    """Halves the size: AdaIN, activation, convolution, twice."""

    def __init__(self, inputs: int, outputs: int, descriptor: int) -> None:
        super().__init__()
        self.conv_0 = nn.Conv2d(inputs, outputs, 4, 2, 1)
        self.conv_1 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm_0 = AdaIN(inputs, descriptor)
        self.norm_1 = AdaIN(outputs, descriptor)

    def forward(self, x: Tensor, descriptor: Tensor) -> Tensor:
        x = self.conv_0(_activate(self.norm_0(x, descriptor)))
        return self.conv_1(_activate(self.norm_1(x, descriptor)))


class UpBlock(nn.Module):
    """Doubles the size, with a learned shortcut."""

    def __init__(self, inputs: int, outputs: int, descriptor: int) -> None:
        super().__init__()
        hidden = min(inputs, outputs)
        self.conv_0 = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.conv_1 = nn.ConvTranspose2d(hidden, outputs, 3, 2, 1, 1)
        self.conv_s = nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1)
        self.norm_0 = AdaIN(inputs, descriptor)
        self.norm_1 = AdaIN(hidden, descriptor)
        self.norm_s = AdaIN(inputs, descriptor)

    def forward(self, x: Tensor, descriptor: Tensor) -> Tensor:
        shortcut = self.conv_s(_activate(self.norm_s(x, descriptor)))
        x = self.conv_0(_activate(self.norm_0(x, descriptor)))
        return shortcut + self.conv_1(_activate(self.norm_1(x, descriptor)))


class EditingNet(nn.Module):
    """U-Net from the portrait and its warped self to the final picture."""

    def __init__(self, descriptor: int, channels: int, max_channels: int) -> None:
        super().__init__()
        widths = [_width(channels, i, max_channels) for i in range(EDIT_LEVELS + 1)]
        self.encoder = nn.ModuleDict({"first": ConvBlock(6, channels, 7)})
        self.decoder = nn.ModuleDict()
        for i in range(EDIT_LEVELS):
            self.encoder[f"down{i}"] = ConvBlock(widths[i], widths[i + 1], 3)
            self.decoder[f"up{i}"] = DoublingBlock(widths[i + 1], widths[i])
            self.decoder[f"res{i}"] = nn.ModuleDict(
                {f"res{j}": ResBlock(widths[i + 1], descriptor) for j in range(EDIT_BLOCKS)}
            )
            self.decoder[f"jump{i}"] = ConvBlock(widths[i], widths[i], 3)
        final = nn.Module()
        final.model = nn.Sequential(nn.Conv2d(channels, 3, 7, padding=3), nn.Tanh())
        self.decoder["final"] = final

    def study(self, portrait: Tensor) -> Tensor:
        """The first convolution's share of the portrait, which it reads beside the warped picture."""
        conv = self.encoder["first"].model[0]
        return F.conv2d(portrait, conv.weight[:, :3], conv.bias, padding=conv.padding)

    def forward(self, studied: Tensor, warped: Tensor, descriptor: Tensor) -> Tensor:
        conv, *rest = self.encoder["first"].model
        x = studied + F.conv2d(warped, conv.weight[:, 3:], padding=conv.padding)
        for layer in rest:
            x = layer(x)
        features = [x]
        for i in range(EDIT_LEVELS):
            features.append(F.avg_pool2d(self.encoder[f"down{i}"](features[-1]), 2))
        x = features.pop()
        for i in reversed(range(EDIT_LEVELS)):
            for block in self.decoder[f"res{i}"].values():
                x = block(x, descriptor)
            x = self.decoder[f"up{i}"](x) + self.decoder[f"jump{i}"](features.pop())
        return self.decoder["final"].model(x)


class ConvBlock(nn.Module):
    """Convolution, layer norm, activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.model = nn.Sequential(conv, LayerNorm2d(outputs), nn.LeakyReLU(SLOPE, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class DoublingBlock(ConvBlock):
    """Each pixel made four, then a ConvBlock of size 3."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        conv, *rest = self.model
        # of its 9 products at each of the four pixels only 4 differ: one transposed convolution of size 4 has the sums
        kernel = F.pad(conv.weight.flip(2, 3).transpose(0, 1), (1, 1, 1, 1))
        kernel = kernel[..., :-1, :] + kernel[..., 1:, :]
        kernel = kernel[..., :-1] + kernel[..., 1:]
        x = F.conv_transpose2d(x, kernel, conv.bias, stride=2, padding=1)
        for layer in rest:
            x = layer(x)
        return x


class ResBlock(nn.Module):
    """Residual block whose norm follows the descriptor.

    In the published network `conv1` and `norm1` stand in the file but not in the function: `conv2` reads the block's
    input. They are kept so that the files fit, and get no gradient.
    """

    def __init__(self, channels: int, descriptor: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = AdaIN(channels, descriptor)
        self.norm2 = AdaIN(channels, descriptor)

    def forward(self, x: Tensor, descriptor: Tensor) -> Tensor:
        return x + self.norm2(self.conv2(x), descriptor)


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE, inplace=True)


def _width(base: int, level: int, limit: int) -> int:
    return min(base * 2**level, limit)
