"""Sampling against a plain implementation that does what the published code does: same weights, same motion.

The plain one encodes sound and style anew at every step, computes both guidance halves always, and decodes all tokens
of the window before it reads the middle one. It is built from PyTorch's own layers; the published code, which puts
tokens before frames and keeps the attention's weights, takes as long. Both run in one process, in turn; processor time
is taken, so that the ratio holds on a busy machine, and divided by the threads.

At the published size, 10 steps of 250 frames are 1.03 TFLOP for the plain one, and for ours 0.41 with both guidance
halves (a ratio of 2.5) and 0.23 with one (4.4); what the ratio of the times has beyond that is speed.

python -m benchmarks.sampling [--frames 250] [--steps 10] [--guidance 2.0] [--clips 1] [--repeats 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.diffusion import ddim_step, sample

FPS = 25


class PlainDenoiser(nn.Module):
    """The published structure in stock PyTorch; it shares the weights of one of our denoisers."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.ours = denoiser
        config = denoiser.config
        sizes = config["d_model"], config["heads"], config["feedforward"], config["dropout"]
        encode = nn.TransformerEncoderLayer(*sizes, batch_first=True)
        decode = nn.TransformerDecoderLayer(*sizes, batch_first=True)
        self.audio = nn.TransformerEncoder(encode, config["layers"], enable_nested_tensor=False)
        self.style = nn.TransformerEncoder(encode, config["layers"], enable_nested_tensor=False)
        self.decoders = nn.ModuleDict(
            {
                name: nn.TransformerDecoder(decode, config["layers"], norm=nn.LayerNorm(config["d_model"]))
                for name in denoiser.decoders
            }
        )
        _share(denoiser.audio_encoder.encoder, self.audio)
        _share(denoiser.style_encoder.frames.encoder, self.style)
        _share(denoiser.decoders, self.decoders)

    def forward(self, x_t: Tensor, t: Tensor, audio: Tensor, style: Tensor, style_mask: Tensor) -> Tensor:
        """As :meth:`dreamtalk_models.denoiser.Denoiser.forward`, audio given in rows."""
        ours = self.ours
        audio = audio.unfold(1, 11, 2).transpose(2, 3)
        content = self.audio(ours.audio_encoder.project(audio.flatten(0, 1)) + ours.audio_encoder.positions)
        motion = ours.style_encoder.frames.project(style) + ours.style_encoder.frames.positions
        style_code = ours.style_encoder.pool(self.style(motion, src_key_padding_mask=style_mask), style_mask)
        frames, tokens = x_t.shape[1], content.shape[1]
        noised = x_t.flatten(0, 1)[:, None].expand(-1, tokens, -1)
        time_code = ours.time(t).repeat_interleave(frames, 0)[:, None]
        memory = ours.mix(torch.cat([content, noised], 2)) + time_code
        target = ours.positions + style_code.repeat_interleave(frames, 0)[:, None]
        parts = [ours.tails[name](stack(target, memory)[:, tokens // 2]) for name, stack in self.decoders.items()]
        return torch.cat(parts, 1)[:, ours.order].unflatten(0, x_t.shape[:2])


def _share(source: nn.Module, target: nn.Module) -> None:
    """Put the weights of one module into another of the same names, and so their gradients."""
    for key, weight in source.named_parameters():
        owner, _, name = key.rpartition(".")
        setattr(target.get_submodule(owner), name, weight)


@torch.no_grad()
def plain_sample(
    plain: PlainDenoiser, audio: Tensor, style: Tensor, style_mask: Tensor, noise: Tensor, steps: int, guidance: float
) -> Tensor:
    """DDIM as published: the doubled batch through everything, at every step."""
    schedule = plain.ours.schedule
    null_style, null_mask = plain.ours.null_style(len(audio))
    doubled = [torch.cat(pair) for pair in ((audio, audio), (style, null_style), (style_mask, null_mask))]
    x, times = noise, schedule.timesteps(steps)
    for t, previous in zip(times, [*times[1:], 0], strict=True):
        x0 = plain(torch.cat([x, x]), torch.full((2 * len(x),), float(t)), *doubled)
        styled, neutral = x0.chunk(2)
        x = ddim_step(x, neutral + guidance * (styled - neutral), t, previous, schedule)
    return x


def in_turn(functions: dict[str, Callable[[], Tensor]], repeats: int) -> dict[str, list[float]]:
    """Processor seconds of each function, called in turn so that what else runs on the machine hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.process_time()
            function()
            seconds[name].append(time.process_time() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    denoiser = Denoiser().eval()
    plain = PlainDenoiser(denoiser).eval()
    audio = torch.randn(given.clips, 2 * given.frames + 9, 1024)
    style = 0.2 * torch.randn(given.clips, 256, 64)
    mask = torch.arange(256).expand(given.clips, -1) >= 200
    noise = torch.randn(given.clips, given.frames, 64)

    functions = {
        "plain": lambda: plain_sample(plain, audio, style, mask, noise, given.steps, given.guidance),
        "ours": lambda: sample(denoiser, audio, style, mask, given.steps, given.guidance, noise=noise),
    }
    difference = float((functions["plain"]() - functions["ours"]()).abs().max())
    seconds = in_turn(functions, given.repeats)
    speech = given.clips * given.frames / FPS
    for name, values in seconds.items():
        took = median(values) / given.threads
        print(
            f"{name}: {took:.2f} s on {given.threads} cores for {speech:g} s of speech, a factor of {took / speech:.3f}"
        )
    ratios = [plain / ours for plain, ours in zip(seconds["plain"], seconds["ours"], strict=True)]
    print(f"ratio {median(ratios):.2f} (each turn: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")
    print(f"largest difference of the motion {difference:.1e}")


if __name__ == "__main__":
    main()
