from __future__ import annotations

import pytest
import torch

from dreamtalk_models.diffusion import q_sample
from dreamtalk_models.style_predictor import StylePredictor, sample_style
from tests.dreamtalk_models.helpers import SMALL, overfit, without_gradient

SIZES = {"style_dim": 4, "audio_dim": 5, "identity_dim": 3, "audio_tokens": 6, "audio_stride": 4, **SMALL}
VARIANTS = [{}, {"speaker_info": False}, {"regression": True}, {"speaker_info": False, "regression": True}]


@pytest.fixture
def inputs():
    mask = torch.zeros(2, 30, dtype=torch.bool)
    mask[1, 17:] = True
    return {"audio": torch.randn(2, 30, 5), "audio_mask": mask, "identity": torch.randn(2, 3)}


NOISED = (torch.randn(2, 4), torch.tensor([10.0, 700.0]))


def test_padding_is_not_read(inputs):
    predictor = StylePredictor(**SIZES).eval()
    expected = predictor(*NOISED, **inputs)
    inputs["audio"][1, 17:] = 100.0
    torch.testing.assert_close(predictor(*NOISED, **inputs), expected)
    alone = predictor(NOISED[0][1:], NOISED[1][1:], inputs["audio"][1:, :17], None, inputs["identity"][1:])
    torch.testing.assert_close(alone, expected[1:])


@pytest.mark.parametrize("rows", [1, 4, 23, 24, 25, 400])
def test_audio_tokens_are_bounded_means_of_equal_spans(rows):
    predictor = StylePredictor(**SIZES).eval()
    predictor.audio = torch.nn.Identity()
    audio = torch.arange(rows, dtype=torch.float32)[None, :, None]
    tokens, mask = predictor._audio_tokens(audio, None)
    used = (~mask).sum()
    assert used == min(-(-rows // 4), 6)
    first = audio[0, : -(-max(rows, 24) // 6), 0]
    assert tokens[0, 0, 0] == first.mean()
    assert (tokens[0, :used, 0].diff() > 0).all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_leave_out_what_they_say(inputs, variant):
    predictor = StylePredictor(**SIZES, **variant).eval()
    changed = {**inputs, "identity": inputs["identity"] + 1}
    reads_speaker = not torch.allclose(predictor(*NOISED, **inputs), predictor(*NOISED, **changed))
    assert reads_speaker == variant.get("speaker_info", True)
    other = (NOISED[0] + 1, NOISED[1] + 50)
    reads_noise = not torch.allclose(predictor(*NOISED, **inputs), predictor(*other, **inputs))
    assert reads_noise != variant.get("regression", False)


@pytest.mark.parametrize("variant", VARIANTS)
def test_learns_codes_and_samples_them(inputs, variant):
    predictor = StylePredictor(**SIZES, **variant)
    codes = 5 + 0.1 * torch.randn(2, 4)
    predictor.fit_scale(codes)
    x0 = predictor.normalise(codes)

    def loss():
        t = torch.randint(1, 1001, (2,))
        s_t = q_sample(x0, t, torch.randn(2, 4), predictor.schedule)
        return (predictor(s_t, t, **inputs) - x0).square().mean()

    overfit(predictor, loss, steps=120)
    assert [name for name in without_gradient(predictor) if "score.2.bias" not in name] == []
    drawn = sample_style(predictor.eval(), **inputs, steps=5)
    torch.testing.assert_close(drawn, codes, rtol=0, atol=0.05)


def test_scale_travels_with_the_weights():
    predictor, other = StylePredictor(**SIZES), StylePredictor(**SIZES)
    predictor.fit_scale(torch.randn(50, 4) * 3 + 2)
    other.load_state_dict(predictor.state_dict())
    code = torch.randn(3, 4)
    torch.testing.assert_close(other.denormalise(predictor.normalise(code)), code)
    assert not torch.allclose(other.normalise(code), code)


def test_generator_decides_the_code(inputs):
    predictor = StylePredictor(**SIZES).eval()

    def draw(seed):
        return sample_style(predictor, **inputs, steps=3, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
