"""Diffusion that predicts the signal: forward noising, DDPM and DDIM reverse steps, guided sampling.

DreamTalk, equations 1, 2 and 9; DDPM is Ho et al. 2020, DDIM is Song et al. 2021.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from dreamtalk_models.transformer import keep_freed_memory

if TYPE_CHECKING:
    from dreamtalk_models.denoiser import Denoiser

Method = Literal["ddim", "ddpm"]
Predictor = Callable[[Tensor, Tensor], Tensor]  # (x_t, t (B,)) → x_0


@dataclass(frozen=True)
class Schedule:
    """Linear noise schedule; the defaults are the published ones.

    Attributes:
        steps: T; t runs over 1..T, and 0 is the clean signal.
        beta_start: variance added by step 1.
        beta_end: variance added by step T.
    """

    steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02

    @cached_property
    def alpha_bars(self) -> Tensor:
        """(T+1,) share of the signal's variance left at t; 1 at t = 0."""
        betas = torch.linspace(self.beta_start, self.beta_end, self.steps, dtype=torch.float64)
        return torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)]).float()

    def alpha_bar(self, t: Tensor | int, like: Tensor) -> Tensor:
        """alpha_bars at t (an int, or (B,) of any number type), shaped to multiply `like` (B, ...)."""
        value = self.alpha_bars.to(like.device)[torch.as_tensor(t, device=like.device).long()].to(like.dtype)
        return value.reshape(-1, *[1] * (like.dim() - 1))

    def timesteps(self, count: int) -> list[int]:
        """`count` values of t from the noisiest down to 1, evenly spaced: 1, 1+T/n, 1+2T/n, ... as published.

        Where `count` does not divide T the positions are rounded down.

        Raises:
            ValueError: `count` is not in 1..T.
        """
        if not 1 <= count <= self.steps:
            raise ValueError(f"sampling steps must be in 1..{self.steps} (the diffusion's own), not {count}")
        return [1 + i * self.steps // count for i in reversed(range(count))]


PUBLISHED = Schedule()


def published_noise(steps: int) -> dict[str, float]:
    """The published schedule in T = `steps` steps, as a network's arguments diffusion_steps, beta_start and beta_end.

    Fewer steps add more variance each: the last must leave next to nothing of the signal, for sampling starts from
    noise alone.

    Raises:
        ValueError: fewer than 20 steps.
    """
    if steps < 20:  # more variance than there is
        raise ValueError(f"diffusion takes at least 20 steps, not {steps}")
    share = PUBLISHED.steps / steps
    return {
        "diffusion_steps": steps,
        "beta_start": share * PUBLISHED.beta_start,
        "beta_end": share * PUBLISHED.beta_end,
    }


def q_sample(x0: Tensor, t: Tensor, noise: Tensor, schedule: Schedule = PUBLISHED) -> Tensor:
    """Noise a clean signal to time t (equation 1 in closed form).

    Args:
        x0: (B, ...) clean signal.
        t: (B,) in 0..T.
        noise: as x0, standard normal.
    """
    alpha_bar = schedule.alpha_bar(t, x0)
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * noise


def ddim_step(x_t: Tensor, x0: Tensor, t: int, previous: int, schedule: Schedule = PUBLISHED) -> Tensor:
    """Deterministic step (eta = 0) from time t to `previous` < t, given the predicted x0."""
    now, then = schedule.alpha_bar(t, x_t), schedule.alpha_bar(previous, x_t)
    noise = (x_t - now.sqrt() * x0) / (1 - now).sqrt()
    return then.sqrt() * x0 + (1 - then).sqrt() * noise


def ddpm_step(
    x_t: Tensor,
    x0: Tensor,
    t: int,
    previous: int,
    schedule: Schedule = PUBLISHED,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ancestral step: a draw from q(x_previous | x_t, x0), previous < t, not necessarily t - 1."""
    now, then = schedule.alpha_bar(t, x_t), schedule.alpha_bar(previous, x_t)
    kept = now / then
    mean = (then.sqrt() * (1 - kept) * x0 + kept.sqrt() * (1 - then) * x_t) / (1 - now)
    variance = (1 - kept) * (1 - then) / (1 - now)
    return mean + variance.sqrt() * standard_normal(x_t.shape, x_t, generator)


def standard_normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Noise on the device of `like`, drawn on the generator's own device, so that a CPU seed holds anywhere."""
    device = generator.device if generator is not None else like.device
    return torch.randn(shape, generator=generator, device=device, dtype=like.dtype).to(like.device)


def reverse(
    predict: Predictor,
    noise: Tensor,
    steps: int,
    method: Method = "ddim",
    schedule: Schedule = PUBLISHED,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Carry noise (B, ...) back to a signal in `steps` steps.

    Args:
        predict: x_0 from (x_t, t), t a (B,) tensor of the noise's type.
        method: "ddim" (eta 0) or "ddpm" (ancestral, draws from `generator`).

    Raises:
        ValueError: unknown method, or steps outside 1..T.
    """
    if method not in ("ddim", "ddpm"):
        raise ValueError(f'method must be "ddim" or "ddpm", not {method!r}')
    times = schedule.timesteps(steps)
    x = noise
    for t, previous in zip(times, [*times[1:], 0], strict=True):
        x0 = predict(x, x.new_full((len(x),), t))
        if method == "ddim":
            x = ddim_step(x, x0, t, previous, schedule)
        else:
            x = ddpm_step(x, x0, t, previous, schedule, generator)
    return x


@torch.no_grad()
def sample(
    denoiser: Denoiser,
    audio: Tensor,
    style: Tensor | None = None,
    style_mask: Tensor | None = None,
    steps: int = 10,
    guidance: float = 1.0,
    method: Method = "ddim",
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    style_code: Tensor | None = None,
    chunk: int = 128,
) -> Tensor:
    """Face motion for speech, in a style (equation 9). The denoiser should be in eval mode.

    Audio and style are encoded once; a guidance half that would not count is not computed; both halves listen to the
    same memory. Frames do not see each other, so a chunk's result does not depend on the others.

    Args:
        audio: (B, L, W, C) feature window around each frame, or their rows; see
            :meth:`dreamtalk_models.denoiser.Denoiser.encode_audio`.
        style: (B, S, D) reference motion, or None where `style_code` is given or guidance is 0.
        style_mask: (B, S) True = padding; None: no padding.
        steps: reverse steps, 1..T.
        guidance: style intensity; 0 neutral, 1 as the reference, above 1 stronger.
        noise: (B, L, D) starting point; drawn from `generator` if None.
        style_code: (B, d_model) ready code in place of `style`, as the style predictor gives.
        chunk: frames worked on at once; 128 stay in a processor's cache, and long speech takes no more memory.

    Returns:
        (B, L, D) expression coefficients.

    Raises:
        ValueError: neither style nor code, a style that is all padding, NaN in style or sound, impossible steps or
            method.
    """
    codes = []
    if guidance != 0:
        codes.append(style_code if style_code is not None else _encode_style(denoiser, style, style_mask))
    if guidance != 1:
        codes.append(denoiser.null_style_code(len(audio)))
    frames = denoiser.frames(audio)
    for name, values in {"the audio": audio, "the style": torch.stack(codes)}.items():
        if not values.isfinite().all():
            raise ValueError(f"{name} has values that are not finite numbers; extract or fit it again")
    if noise is None:
        noise = standard_normal((len(audio), frames, denoiser.motion_dim), audio, generator)
    keep_freed_memory()
    motion = []
    for start in noise.split(chunk, dim=1):
        first = sum(part.shape[1] for part in motion)
        heard = denoiser.audio_of_frames(audio, first, start.shape[1])
        predict = _guided(denoiser, heard, codes, guidance)
        motion.append(reverse(predict, start, steps, method, denoiser.schedule, generator))
    return torch.cat(motion, dim=1)


def _guided(denoiser: Denoiser, audio: Tensor, codes: list[Tensor], guidance: float) -> Predictor:
    """x_0 by equation 9; `codes` are the style's and the null style's, or the only one that counts."""
    content = denoiser.encode_audio(audio)
    styles = torch.stack(codes, dim=1)

    def predict(x: Tensor, t: Tensor) -> Tensor:
        x0 = denoiser.denoise(x, t, content, styles)
        if len(codes) == 1:
            return x0[:, 0]
        styled, neutral = x0.unbind(1)
        return neutral + guidance * (styled - neutral)

    return predict


def _encode_style(denoiser: Denoiser, style: Tensor | None, style_mask: Tensor | None) -> Tensor:
    if style is None:
        raise ValueError("give a style reference or a style_code, or set guidance to 0")
    if style_mask is not None and style_mask.all(1).any():
        raise ValueError("a style reference is all padding: it has no frame to take a style from")
    return denoiser.encode_style(style, style_mask)
