from __future__ import annotations

import pandas as pd
import pytest
import torch

from stages.params import StylePredictor, TrainingLoop
from stages.training import denoiser, loop, style_predictor
from tests.stages.training import test_denoiser

P = StylePredictor(
    d_model=16,
    heads=2,
    feedforward=32,
    layers=1,
    dropout=0.0,
    audio_tokens=8,
    audio_stride=10,
    audio_frames=40,
    audio_frames_min=20,
    diffusion_steps=1000,
    batch=16,
    steps=150,
    learning_rate=5e-3,
    ema=0.9,
)
LOOP = TrainingLoop(warmup=0.05, weight_decay=0.01, clip_norm=1.0, validations=3, patience=0)


@pytest.fixture(scope="module")
def parts(toy) -> dict[str, style_predictor.Styled]:
    torch.manual_seed(0)
    encoder = denoiser.network(toy.face, toy.corpus("train"), test_denoiser.P).eval()
    corpora = {name: toy.corpus(name) for name in ("train", "val")}
    identities = pd.Series(
        {name: row for c in corpora.values() for name, row in zip(c.table["clip_id"], c.identity, strict=True)}
    )
    return {name: style_predictor.styled(encoder, corpus, identities) for name, corpus in corpora.items()}


def test_style_codes_are_of_the_first_frames(toy) -> None:
    torch.manual_seed(0)
    corpus = toy.corpus("train")
    encoder = denoiser.network(toy.face, corpus, test_denoiser.P).eval()
    codes = style_predictor.style_codes(encoder, corpus, at_once=5)
    clips = torch.tensor([4])
    with torch.no_grad():
        own = encoder.encode_style(corpus.expression.gather(clips, torch.tensor([0]), encoder.style_frames))
    torch.testing.assert_close(codes[4], own[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", style_predictor.VARIANTS)
def test_loss_falls_and_variants_are_what_they_say(parts, tmp_path, variant) -> None:
    torch.manual_seed(0)
    predictor = style_predictor.network(variant, parts["train"], P)
    assert predictor.speaker_info == (variant != "no_speaker_info")
    assert predictor.regression == (variant == "regression")
    curves = []
    predictor = loop.train(
        predictor,
        style_predictor.task(parts["train"], parts["val"], variant, P),
        LOOP,
        steps=P.steps,
        learning_rate=P.learning_rate,
        seed=0,
        work=tmp_path,
        log=lambda step, values: curves.append(values),
        label="style",
        ema=P.ema,
    )
    assert curves[-1]["train/loss"] < 0.8 * curves[0]["train/loss"]
    distances = style_predictor.code_distances(predictor, parts["train"], P)
    assert distances["code_distance/predicted"] < distances["code_distance/shuffled"]


def test_codes_are_normalised_by_the_training_set(parts) -> None:
    predictor = style_predictor.network("full", parts["train"], P)
    normalised = predictor.normalise(parts["train"].code)
    torch.testing.assert_close(normalised.mean(0), torch.zeros(16), atol=1e-4, rtol=0)
    torch.testing.assert_close(normalised.std(0, correction=0), torch.ones(16), atol=1e-3, rtol=0)


def test_only_no_cross_id_shows_the_clips_own_identity(parts) -> None:
    train = parts["train"]
    batches = {}
    for variant in style_predictor.VARIANTS:
        drawn = style_predictor.draw(train, variant, P, 64, torch.Generator().manual_seed(0))
        batches[variant] = style_predictor.fill(train, P, drawn)
    for variant, batch in batches.items():
        assert torch.equal(batch["code"], batches["full"]["code"])
        assert torch.equal(batch["audio"], batches["full"]["audio"])
        clip = (batch["code"][:, None] == train.code).all(2).int().argmax(1)
        own = (batch["identity"] == train.corpus.identity[clip]).all(1)
        assert own.all() if variant == "no_cross_id" else not own.any()
