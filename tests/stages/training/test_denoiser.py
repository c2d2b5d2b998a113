from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from stages.params import Denoiser, TrainingLoop
from stages.training import denoiser, lip_expert, loop
from tests.stages.training import test_lip_expert

P = Denoiser(
    decoder="split",
    d_model=16,
    heads=2,
    feedforward=32,
    layers=1,
    dropout=0.0,
    window=5,
    style_frames=32,
    style_frames_min=16,
    clip_frames=16,
    diffusion_steps=1000,
    null_style=0.1,
    sync_weight=0.02,
    closure_weight=0.0,
    closure_gap=0.05,
    batch=8,
    steps=120,
    learning_rate=5e-3,
    ema=0.9,
)
LOOP = TrainingLoop(warmup=0.05, weight_decay=0.01, clip_norm=1.0, validations=3, patience=0)


@pytest.fixture
def guide(toy) -> denoiser.Guide:
    torch.manual_seed(0)
    expert = lip_expert.network("style_aware", toy.face, toy.corpus("train"), test_lip_expert.P)
    return denoiser.Guide(expert.requires_grad_(False).eval(), toy.face)


def network(toy) -> denoiser.Denoiser:
    torch.manual_seed(1)
    return denoiser.network(toy.face, toy.corpus("train"), P)


def test_loss_falls_and_sampling_gives_finite_errors(toy, tmp_path) -> None:
    curves = []
    train, val = toy.corpus("train"), toy.corpus("val")
    trained = loop.train(
        network(toy),
        denoiser.task(train, val, None, P),
        LOOP,
        steps=P.steps,
        learning_rate=P.learning_rate,
        seed=0,
        work=tmp_path,
        log=lambda step, values: curves.append(values),
        label="denoiser",
        ema=P.ema,
    )
    assert curves[-1]["train/denoise"] < 0.6 * curves[0]["train/denoise"]
    errors = denoiser.mouth_errors(trained, toy.corpus("test"), train.expression.mean(), toy.face, P)
    assert 0 < errors["mouth_error/sampled"] < 2 * errors["mouth_error/mean_motion"]


def test_without_an_expert_only_the_sync_term_is_missing(toy, guide) -> None:
    batch = denoiser.tuples(toy.corpus("train"), P, 6, torch.Generator().manual_seed(0))
    net = network(toy)
    alone = denoiser.losses(net, None, batch)
    guided = denoiser.losses(net, guide, batch)
    assert set(alone) == {"denoise"}
    assert set(guided) == {"denoise", "sync"}
    assert torch.equal(alone["denoise"], guided["denoise"])


def test_sync_loss_reaches_the_denoiser_and_leaves_the_expert_alone(toy, guide) -> None:
    batch = denoiser.tuples(toy.corpus("train"), P, 6, torch.Generator().manual_seed(0))
    net = network(toy)
    denoiser.losses(net, guide, batch)["sync"].backward()
    assert sum(float(p.grad.abs().sum()) for p in net.parameters() if p.grad is not None) > 0
    assert all(p.grad is None for p in guide.expert.parameters())


def test_sync_loss_of_true_motion_is_the_experts_own(toy, guide) -> None:
    corpus = toy.corpus("train")
    batch = denoiser.tuples(corpus, P, 4, torch.Generator().manual_seed(0))
    batch["null"] = torch.tensor([False, True, False, False])
    starts = torch.tensor([0, 3, 5, 9])
    found = guide.sync_loss(batch["motion"], batch, starts)
    rows = [0, 2, 3]
    lips = torch.stack([toy.face.mouth_vertices(batch["motion"][r, starts[r] : starts[r] + 7]) for r in rows])
    sound = torch.stack([batch["audio"][r, 5 + 2 * starts[r] : 5 + 2 * starts[r] + 14] for r in rows])
    expected = guide.expert.sync_loss(lips, sound, batch["reference"][rows], batch["reference_mask"][rows])
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_lips_that_nearly_meet_cost_more_than_lips_as_far_off_while_open() -> None:
    lips = denoiser.Lips(SimpleNamespace(gap=lambda expression: expression), 0.05)  # coefficients that are openings
    shut, nearly, wide, wider = torch.tensor([0.0, 0.05, 0.3, 0.35])[:, None, None, None]
    valid = torch.ones(1, 1, dtype=torch.bool)
    assert lips.loss(nearly, shut, valid) > 100 * lips.loss(wider, wide, valid)
    assert lips.loss(shut - 0.02, shut, valid) == 0  # pressed together looks closed too


def test_equation_7_stands_alone_unless_lips_are_watched(toy) -> None:
    batch = denoiser.tuples(toy.corpus("train"), P, 4, torch.Generator().manual_seed(0))
    net = network(toy)
    assert denoiser.watched_lips(toy.face, P) is None
    lips = denoiser.watched_lips(toy.face, P.model_copy(update={"closure_weight": 0.1}))
    assert set(denoiser.losses(net, None, batch, lips=lips)) == {"denoise", "closure"}


def test_no_style_is_zero_motion_with_nothing_masked(toy) -> None:
    batch = denoiser.tuples(toy.corpus("train"), P, 4, torch.Generator().manual_seed(0))
    batch["null"] = torch.ones(4, dtype=torch.bool)
    net = network(toy).eval()
    t = torch.full((4,), 500)
    with torch.no_grad():
        first = denoiser.losses(net, None, batch, t)["denoise"]
        batch["reference"] = batch["reference"] + 1
        batch["reference_mask"] = ~batch["reference_mask"]
        second = denoiser.losses(net, None, batch, t)["denoise"]
    assert torch.equal(first, second)


def test_padded_frames_do_not_count(toy) -> None:
    batch = denoiser.tuples(toy.corpus("train"), P, 4, torch.Generator().manual_seed(0))
    batch["valid"] = torch.arange(16) < torch.tensor([[16], [9], [9], [16]])
    net = network(toy).eval()
    t = torch.full((4,), 500)
    with torch.no_grad():
        first = denoiser.losses(net, None, batch, t)["denoise"]
        batch["motion"] = torch.where(batch["valid"][..., None], batch["motion"], batch["motion"] + 100)
        second = denoiser.losses(net, None, batch, t)["denoise"]
    assert torch.equal(first, second)


def test_no_expert_is_no_guide(toy, tmp_path) -> None:
    assert denoiser.load_guide("none", tmp_path, toy.face) is None
    with pytest.raises(FileNotFoundError):
        denoiser.load_guide("style_aware", tmp_path, toy.face)
