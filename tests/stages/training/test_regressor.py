from __future__ import annotations

import torch

from dreamtalk_models.regressor import Regressor
from stages.training import denoiser, loop, regressor
from tests.stages.training.test_denoiser import LOOP, P, guide  # noqa: F401 - a fixture


def test_its_motion_comes_nearer_to_the_truth_than_a_still_face(toy, guide, tmp_path) -> None:  # noqa: F811
    train, val = toy.corpus("train"), toy.corpus("val")
    torch.manual_seed(1)
    trained = loop.train(
        Regressor(**denoiser.sizes(toy.face, train, P)),
        regressor.task(train, val, guide, P),
        LOOP,
        steps=P.steps,
        learning_rate=P.learning_rate,
        seed=0,
        work=tmp_path,
        log=lambda step, values: None,
        label="regressor",
        ema=P.ema,
    )
    errors = denoiser.mouth_errors(trained, toy.corpus("test"), train.expression.mean(), toy.face, P)
    assert 0 < errors["mouth_error/sampled"] < errors["mouth_error/mean_motion"]
    assert errors["mouth_error/sampled"] < errors["mouth_error/other_audio"]


def test_frames_beyond_a_clips_end_and_hidden_styles_do_not_count(toy, guide) -> None:  # noqa: F811
    batch = denoiser.tuples(toy.corpus("train"), P, 4, torch.Generator().manual_seed(0))
    batch["valid"] = torch.arange(16) < torch.tensor([[16], [9], [9], [16]])
    batch["null"] = torch.tensor([False, True, False, False])
    torch.manual_seed(1)
    network = Regressor(**denoiser.sizes(toy.face, toy.corpus("train"), P)).eval()
    with torch.no_grad():
        first = regressor.losses(network, guide, batch)
        batch["motion"] = torch.where(batch["valid"][..., None], batch["motion"], batch["motion"] + 100)
        batch["reference"][1] += 1
        second = regressor.losses(network, guide, batch)
    assert first == second
