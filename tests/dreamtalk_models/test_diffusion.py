from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from dreamtalk_models.diffusion import (
    PUBLISHED,
    Schedule,
    ddim_step,
    ddpm_step,
    published_noise,
    q_sample,
    reverse,
    sample,
)
from dreamtalk_models.published import denoiser as published_denoiser
from tests.dreamtalk_models.helpers import assert_golden, weights


@pytest.fixture
def inputs():
    style_mask = torch.zeros(2, 12, dtype=torch.bool)
    style_mask[1, 7:] = True
    return {
        "audio": torch.randn(2, 4, 5, 5),
        "style": torch.randn(2, 12, 6),
        "style_mask": style_mask,
        "noise": torch.randn(2, 4, 6),
    }


@pytest.mark.parametrize("steps", [20, 100, 1000, 4000])
def test_sampling_starts_where_next_to_nothing_of_the_signal_is_left(steps):
    found = published_noise(steps)
    schedule = Schedule(found["diffusion_steps"], found["beta_start"], found["beta_end"])
    assert schedule.steps == steps
    assert 0 <= schedule.alpha_bars[-1] < 1e-4
    assert schedule.alpha_bars.diff().max() < 0
    middle = schedule.alpha_bar(steps // 2, torch.zeros(1))
    assert middle == pytest.approx(PUBLISHED.alpha_bar(500, torch.zeros(1)), abs=0.03)


def test_a_thousand_steps_are_the_published_ones_and_few_are_refused():
    assert Schedule(*published_noise(1000).values()) == PUBLISHED
    with pytest.raises(ValueError, match="at least 20 steps, not 19"):
        published_noise(19)


def naive(denoiser, audio, style, style_mask, noise, steps, guidance):
    """DDIM by the textbook: everything encoded anew at every step, both guidance halves apart."""
    x, times = noise, PUBLISHED.timesteps(steps)
    for t, previous in zip(times, [*times[1:], 0], strict=True):
        at = torch.full((len(x),), float(t))
        null = denoiser.null_style(len(x))
        styled, neutral = denoiser(x, at, audio, style, style_mask), denoiser(x, at, audio, *null)
        x = ddim_step(x, neutral + guidance * (styled - neutral), t, previous)
    return x


@pytest.mark.parametrize("guidance", [0.0, 0.7, 1.0, 2.5])
def test_sampling_equals_naive_reencoding(small_denoiser, inputs, guidance):
    expected = naive(small_denoiser, **inputs, steps=5, guidance=guidance)
    torch.testing.assert_close(
        sample(small_denoiser, **inputs, steps=5, guidance=guidance), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("guidance", [1.0, 2.5])
def test_sampling_is_the_published_one(golden, guidance):
    vectors = golden("dreamtalk_denoiser_small.npz")
    network = published_denoiser({"model_state_dict": weights(vectors, "diff_net.")}, "golden")
    motion = sample(
        network,
        vectors["in/audio"],
        vectors["in/style"],
        vectors["in/mask"],
        steps=10,
        guidance=guidance,
        noise=vectors["in/noise"],
    )
    assert_golden(motion, vectors[f"out/ddim10_cfg{guidance}"])


@pytest.mark.parametrize(("guidance", "encoded", "heard"), [(1.0, 1, 1), (0.0, 1, 1), (2.0, 2, 2)])
def test_encodes_once_and_computes_only_the_halves_that_count(small_denoiser, inputs, guidance, encoded, heard):
    calls = {"audio": 0, "style": 0, "heard": []}
    for name in ("audio", "style"):
        encode = getattr(small_denoiser, f"encode_{name}")

        def count(*args, _name=name, _encode=encode):
            calls[_name] += 1
            return _encode(*args)

        setattr(small_denoiser, f"encode_{name}", count)
    denoise = small_denoiser.denoise
    small_denoiser.denoise = lambda *given: calls["heard"].append(given[3].shape[1]) or denoise(*given)
    sample(small_denoiser, **inputs, steps=3, guidance=guidance)
    assert calls == {"audio": 1, "style": encoded, "heard": [heard] * 3}


def test_ready_code_stands_for_the_style_clip(small_denoiser, inputs):
    code = small_denoiser.encode_style(inputs["style"], inputs["style_mask"])
    by_code = sample(small_denoiser, inputs["audio"], noise=inputs["noise"], style_code=code, guidance=2.0)
    torch.testing.assert_close(by_code, sample(small_denoiser, **inputs, guidance=2.0))


@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_chunks_do_not_change_the_motion(small_denoiser, inputs, guidance):
    whole = sample(small_denoiser, **inputs, guidance=guidance)
    torch.testing.assert_close(sample(small_denoiser, **inputs, guidance=guidance, chunk=3), whole)


@pytest.mark.parametrize("chunk", [2, 64])
def test_rows_of_sound_stand_for_the_windows(small_denoiser, inputs, chunk):
    rows = torch.randn(2, 11, 5)
    inputs |= {"audio": rows.unfold(1, 5, 2).transpose(2, 3)}
    expected = sample(small_denoiser, **inputs)
    torch.testing.assert_close(sample(small_denoiser, **inputs | {"audio": rows}, chunk=chunk), expected)


@pytest.mark.parametrize("method", ["ddim", "ddpm"])
def test_generator_decides_the_sample(small_denoiser, inputs, method):
    def draw(seed):
        generator = torch.Generator().manual_seed(seed)
        return sample(small_denoiser, inputs["audio"], inputs["style"], method=method, generator=generator, steps=4)

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_refuses_what_cannot_be_sampled(small_denoiser, inputs):
    with pytest.raises(ValueError, match="style_code"):
        sample(small_denoiser, inputs["audio"])
    with pytest.raises(ValueError, match="all padding"):
        sample(small_denoiser, **{**inputs, "style_mask": torch.ones(2, 12, dtype=torch.bool)})
    for name in ("audio", "style"):
        broken = inputs[name].clone()
        broken[0, 1] = torch.nan
        with pytest.raises(ValueError, match=f"the {name} has values that are not finite"):
            sample(small_denoiser, **{**inputs, name: broken})
    with pytest.raises(ValueError, match=r"1\.\.1000"):
        sample(small_denoiser, **inputs, steps=1001)
    with pytest.raises(ValueError, match="ddim"):
        sample(small_denoiser, **inputs, method="euler")


def test_schedule_is_the_published_one(golden):
    table = golden("dreamtalk_denoiser_small.npz")["w/var_sched.alpha_bars"]
    torch.testing.assert_close(PUBLISHED.alpha_bars, table, rtol=1e-4, atol=1e-7)


def test_published_steps_where_they_divide():
    assert PUBLISHED.timesteps(10) == [901, 801, 701, 601, 501, 401, 301, 201, 101, 1]


@pytest.mark.parametrize("count", [1, 3, 7, 600, 999, 1000])
def test_any_number_of_steps_is_spread_over_the_whole_schedule(count):
    times = PUBLISHED.timesteps(count)
    assert len(times) == count
    assert times[-1] == 1
    assert all(later < earlier for earlier, later in pairwise(times))
    assert times[0] + 1000 / count > 1000


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_impossible_numbers_of_steps(count):
    with pytest.raises(ValueError, match=str(count)):
        PUBLISHED.timesteps(count)


def test_noising_keeps_unit_variance_and_ends_in_noise():
    x0, noise = torch.randn(20000, 1), torch.randn(20000, 1)
    for t in (1, 300, 1000):
        assert q_sample(x0, torch.full((20000,), t), noise).var() == pytest.approx(1, abs=0.05)
    assert torch.equal(q_sample(x0, torch.zeros(20000), noise), x0)
    assert torch.corrcoef(torch.cat([q_sample(x0, torch.full((20000,), 1000), noise), x0], 1).T)[0, 1] < 0.05


@pytest.mark.parametrize("method", ["ddim", "ddpm"])
def test_a_perfect_predictor_recovers_the_signal(method):
    signal = torch.randn(3, 4)
    result = reverse(lambda x, t: signal, torch.randn(3, 4), steps=7, method=method)
    torch.testing.assert_close(result, signal, atol=1e-4, rtol=1e-4)


def test_ancestral_sampling_of_a_gaussian_keeps_its_spread():
    """For data N(0, 0.5²) the best x0 is known in closed form, so the samples must have that spread."""

    def best(x, t):
        alpha_bar = PUBLISHED.alpha_bar(t, x)
        return x * alpha_bar.sqrt() * 0.25 / (alpha_bar * 0.25 + 1 - alpha_bar)

    samples = reverse(best, torch.randn(5000, 1), steps=1000, method="ddpm")
    assert samples.std() == pytest.approx(0.5, abs=0.03)


def test_last_ancestral_step_adds_no_noise():
    x0 = torch.randn(2, 3)
    assert torch.equal(ddpm_step(torch.randn(2, 3), x0, 1, 0), x0)
