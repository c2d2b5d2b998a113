from __future__ import annotations

import numpy as np
import pytest
import torch

from dreamtalk_models.renderers.pirenderer import PIRenderer
from dreamtalk_models.renderers.vgg import VGG19
from stages.params import Renderer, TrainingLoop
from stages.training import loop, renderer
from stages.training.data import DataError
from stages.training.picture_loss import vgg_trunk

P = Renderer(
    size=64,
    descriptor=16,
    max_channels=16,
    warp_channels=4,
    edit_channels=8,
    radius=12,
    clips=4,
    frames_per_clip=3,
    scales=2,
    warp_weight=0.6,
    detail_weight=1.0,
    batch=4,
    warp_steps=20,
    joint_steps=20,
    learning_rate=2e-3,
    init=None,
    fine_tuning_rate=1e-4,
    vgg=None,
    style_weight=250.0,
    ema=0.9,
)
LOOP = TrainingLoop(warmup=0.05, weight_decay=0.01, clip_norm=1.0, validations=2, patience=0)


def pictures(seed: int) -> renderer.Pictures:
    """A disc that stands where the motion says."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    places = rng.uniform(20, 44, size=(4, 3))
    disc = np.abs(x - places[..., None, None]) + np.abs(y - 32) < 14
    frames = np.where(disc[..., None], rng.integers(150, 250, size=(4, 1, 1, 1, 3)), 30).astype(np.uint8)
    driving = np.tile(places[:, :, None, None], (1, 1, 5, 25)).astype(np.float32)
    driving[:, :, 1:] = 1.0  # constant channels, as crop is
    return renderer.Pictures(frames, driving)


def network() -> PIRenderer:
    torch.manual_seed(0)
    return PIRenderer(driving_dim=5, descriptor=16, warp_channels=4, edit_channels=8, max_channels=16)


def test_both_phases_learn_and_judge_gives_numbers(tmp_path) -> None:
    train, val = pictures(0), pictures(1)
    scale = renderer.driving_scale(train)
    net = network()
    for part, stage in (("warp", "warp"), ("joint", "edit")):
        curves: list[dict] = []
        net = loop.train(
            net,
            renderer.task(train, val, scale, P, stage),
            LOOP,
            steps=20,
            learning_rate=P.learning_rate,
            seed=0,
            work=tmp_path / part,
            log=lambda step, values, curves=curves: curves.append(values),
            label=part,
            ema=P.ema,
        )
        assert curves[-1]["train/loss"] < curves[0]["train/loss"]
        assert "val/ssim" in curves[-1]
    renderer.fold_scale(net, scale)
    scores, grid = renderer.judge(net, val, P)
    assert set(scores) == {
        f"{kind}/{name}" for kind in ("ssim", "l1", "pyramid") for name in ("drawn", "warped", "portrait")
    }
    assert grid.shape == (4, 4, 64, 64, 3)


def test_folded_scale_leaves_the_output_as_it_was() -> None:
    scale = renderer.driving_scale(pictures(0))
    batch = renderer.examples(pictures(2), 4, torch.Generator().manual_seed(0))
    net = network().eval()
    with torch.no_grad():
        before = net(batch["portrait"], (batch["driving"] - scale[0]) / scale[1])["fake_image"]
        renderer.fold_scale(net, scale)
        after = net(batch["portrait"], batch["driving"])["fake_image"]
    torch.testing.assert_close(before, after, atol=1e-4, rtol=1e-4)


def test_pairs_come_both_ways() -> None:
    batch = renderer.examples(pictures(0), 6, torch.Generator().manual_seed(0))
    assert torch.equal(batch["portrait"][:3], batch["target"][3:])
    assert torch.equal(batch["portrait"][3:], batch["target"][:3])
    assert not torch.equal(batch["portrait"], batch["target"])
    assert batch["portrait"].min() >= -1 and batch["portrait"].max() <= 1


def test_pyramid_loss_is_zero_for_equal_pictures_and_sees_detail() -> None:
    picture = torch.rand(1, 3, 32, 32)
    assert renderer.pyramid_loss(picture, picture, 3, 1.0) == 0
    flat = picture.mean((2, 3), keepdim=True).expand_as(picture)
    plain = renderer.pyramid_loss(flat, picture, 3, 0.0)
    assert renderer.pyramid_loss(flat, picture, 3, 1.0) > plain > 0


def test_the_published_losses_train_both_phases() -> None:
    torch.manual_seed(0)
    train, trunk = pictures(0), VGG19()
    batch = renderer.examples(train, 2, torch.Generator().manual_seed(0))
    settings = P.model_copy(update={"scales": 1})
    for stage, names in (("warp", {"warp"}), ("edit", {"warp", "final", "style"})):
        net = network()
        task = renderer.task(train, train, renderer.driving_scale(train), settings, stage, trunk)
        loss, parts = task.loss(net, batch)
        loss.backward()
        assert set(parts) == names
        assert net.warpping_net.flow_out[2].weight.grad.abs().sum() > 0


def test_a_new_network_starts_from_the_warped_picture_and_a_published_one_from_its_weights(tmp_path) -> None:
    settings = P.model_copy(update={"edit_channels": 8})
    assert renderer.beginning(settings, 5).warpping_net.flow_out[2].weight.abs().sum() == 0
    published = network()
    file = tmp_path / "published.pt"
    torch.save({"net_G_ema": published.state_dict()}, file)
    settings = P.model_copy(update={"init": str(file)})
    found = renderer.beginning(settings, 5).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in published.state_dict().items())
    with pytest.raises(DataError, match="driven by 5 numbers"):
        renderer.beginning(settings, 73)
    file.write_bytes(b"no weights")
    with pytest.raises(DataError, match="was not opened"):
        renderer.beginning(settings, 5)


def test_vgg_weights_that_cannot_be_used_are_named(tmp_path) -> None:
    file = tmp_path / "vgg.pth"
    file.write_bytes(b"no weights")
    with pytest.raises(DataError, match=r"cannot be read|state dict"):
        vgg_trunk(P.model_copy(update={"vgg": str(file)}))
    with pytest.raises(DataError, match="pictures of 256 px"):
        vgg_trunk(P.model_copy(update={"vgg": str(file), "scales": 5}))
    with pytest.raises(FileNotFoundError, match="absent"):
        vgg_trunk(P.model_copy(update={"vgg": str(tmp_path / "absent")}))
