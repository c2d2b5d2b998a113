"""LPIPS against torchmetrics' own parts, on random VGG16 weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import lpips as theirs

from stages.evaluation.metrics.perceptual import BLOCKS, LAYERS, Lpips, lpips

PLACES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # of the convolutions among torchvision's features
LAST = (3, 8, 15, 22, 29)  # the features that are compared


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)
    content, channels = {}, 3
    for place, width in zip(PLACES, [width for block in BLOCKS for width in block], strict=True):
        deviation = (2 / (9 * channels)) ** 0.5
        content[f"features.{place}.weight"] = deviation * torch.randn(width, channels, 3, 3, generator=generator)
        content[f"features.{place}.bias"] = 0.1 * torch.randn(width, generator=generator)
        channels = width
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(content | {"classifier.0.bias": torch.zeros(4)}, path)
    return path


def features(weights: Path, picture: torch.Tensor) -> list[torch.Tensor]:
    """torchvision's VGG16 features, layer by layer."""
    content, kept = torch.load(weights), []
    for place in range(30):
        if f"features.{place}.weight" in content:
            weight, bias = (content[f"features.{place}.{part}"] for part in ("weight", "bias"))
            picture = torch.nn.functional.conv2d(picture, weight, bias, padding=1)
        elif place in (4, 9, 16, 23):
            picture = torch.nn.functional.max_pool2d(picture, 2)
        else:
            picture = picture.relu()
        if place in LAST:
            kept.append(picture)
    return kept


def test_lpips_equals_torchmetrics(weights: Path):
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64, 3), dtype=np.uint8)
    scaled = [theirs.ScalingLayer()(torch.from_numpy(x).permute(0, 3, 1, 2) / 127.5 - 1) for x in frames]
    layers = torch.load(LAYERS, map_location="cpu")
    expected = torch.zeros(3)
    for i, (a, b) in enumerate(zip(*(features(weights, x) for x in scaled), strict=True)):
        difference = (theirs._normalize_tensor(a) - theirs._normalize_tensor(b)) ** 2
        layer = theirs.NetLinLayer(a.shape[1], use_dropout=True)
        layer.load_state_dict({"model.1.weight": layers[f"lin{i}.model.1.weight"]})
        expected += layer.eval()(difference).mean((1, 2, 3)).detach()
    net = Lpips(weights)
    np.testing.assert_allclose(lpips(net, *frames), expected, rtol=1e-4)
    assert lpips(net, frames[0], frames[0]).tolist() == [0, 0, 0]
    assert len(lpips(net, frames[0, :0], frames[1, :0])) == 0


def test_files_that_do_not_fit_are_named(weights: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"no weights at .*none\.pth"):
        Lpips(tmp_path / "none.pth")
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"junk\.pth is no file of tensors"):
        Lpips(tmp_path / "junk.pth")
    content = torch.load(weights)
    content["features.5.weight"] = torch.zeros(1)
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"features\.5\.weight should be \(128, 64, 3, 3\), is \(1,\)"):
        Lpips(tmp_path / "other.pth")
