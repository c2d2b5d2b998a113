from __future__ import annotations

import pytest
import torch

from dreamtalk_models.lip_expert import LipExpert
from tests.dreamtalk_models.helpers import SMALL, overfit, without_gradient

SIZES = {"lip_dim": 9, "audio_dim": 7, "motion_dim": 6, "style_frames": 12, "clip_frames": 5, "embedding": 8, **SMALL}


@pytest.fixture
def inputs():
    return torch.randn(8, 5, 9), torch.randn(8, 10, 7), torch.randn(8, 12, 6), torch.zeros(8, 12, dtype=torch.bool)


def test_similarity_is_a_cosine_and_probability_grows_with_it(inputs):
    expert = LipExpert(**SIZES).eval()
    similarity = expert(*inputs)
    assert similarity.shape == (8,)
    assert similarity.abs().max() <= 1
    probability = expert.probability(torch.linspace(-1, 1, 9))
    assert (probability.diff() > 0).all()
    assert 0 < probability[0] < 0.5 < probability[-1] < 1


def test_sync_loss_is_minus_log_probability(inputs):
    expert = LipExpert(**SIZES).eval()
    expected = -expert.probability(expert(*inputs)).log().mean()
    torch.testing.assert_close(expert.sync_loss(*inputs), expected)


def test_frozen_expert_guides_the_lips(inputs):
    expert = LipExpert(**SIZES).eval().requires_grad_(False)
    lips = inputs[0].requires_grad_()
    expert.sync_loss(lips, *inputs[1:]).backward()
    assert lips.grad.abs().sum() > 0
    better = lips.detach() - 0.05 * lips.grad / lips.grad.abs().max()
    assert expert.sync_loss(better, *inputs[1:]) < expert.sync_loss(*inputs)


def test_style_is_read_by_the_aware_expert_only(inputs):
    lips, audio, style, mask = inputs
    aware, unaware = LipExpert(**SIZES).eval(), LipExpert(**SIZES, style_aware=False).eval()
    assert not torch.allclose(aware(lips, audio, style, mask), aware(lips, audio, style + 1, mask))
    assert torch.equal(unaware(lips, audio, style, mask), unaware(lips, audio))
    assert not [name for name in unaware.state_dict() if "style" in name]
    with pytest.raises(ValueError, match="style"):
        aware(lips, audio)


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_the_unit_of_the_vertices_does_not_matter(inputs, unit):
    lips, *rest = inputs
    expert = LipExpert(**SIZES).train()
    torch.testing.assert_close(expert(lips * unit, *rest), expert(lips, *rest), rtol=1e-3, atol=1e-3)


def test_when_matters(inputs):
    """The same lips a frame later are other lips."""
    expert = LipExpert(**SIZES).eval()
    lips, *rest = inputs
    assert not torch.allclose(expert(lips, *rest), expert(lips.roll(1, dims=1), *rest), atol=1e-3)


@pytest.mark.parametrize("style_aware", [True, False])
def test_overfits_and_gradient_reaches_every_parameter(inputs, style_aware):
    expert = LipExpert(**SIZES, style_aware=style_aware)
    in_sync = torch.tensor([1.0, 0.0] * 4)
    first, last = overfit(expert, lambda: expert.expert_loss(expert(*inputs), in_sync), steps=60)
    assert last < 0.1 < first
    assert [name for name in without_gradient(expert) if "score.2.bias" not in name] == []


def test_refuses_clips_of_another_length(inputs):
    with pytest.raises(ValueError, match="5 frames and 10 audio rows, not 4 and 10"):
        LipExpert(**SIZES)(inputs[0][:, :4], *inputs[1:])
