"""How far a picture is from the wanted one: the renderer's losses, and the weights that the published ones need."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from dreamtalk_models.renderers import vgg
from stages import params as parameters
from stages.training import loop
from stages.training.data import DataError


def pyramid_loss(picture: Tensor, target: Tensor, scales: int, detail_weight: float) -> Tensor:
    """Mean over `scales` halvings of the L1 distance of colours, plus `detail_weight` times that of gradients.

    Args:
        picture, target: (B, 3, H, W).
    """
    total = picture.new_zeros(())
    for scale in range(scales):
        if scale:
            picture, target = functional.avg_pool2d(picture, 2), functional.avg_pool2d(target, 2)
        difference = picture - target
        detail = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
        total = total + difference.abs().mean() + detail_weight * detail
    return total / scales


def vgg_trunk(p: parameters.Renderer) -> vgg.VGG19 | None:
    """VGG19 where renderer.vgg says where its weights are.

    Raises:
        FileNotFoundError: there are none. DataError: they cannot be used, or the pictures are too small for them.
    """
    if p.vgg is None:
        return None
    if p.size < 16 * 2 ** (p.scales - 1):
        raise DataError(
            f"renderer.vgg needs pictures of {16 * 2 ** (p.scales - 1)} px for {p.scales} scales, not {p.size}"
        )
    try:
        return vgg.load(p.vgg).to(loop.device())
    except ValueError as error:
        raise DataError(str(error)) from error
