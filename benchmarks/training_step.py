"""One training step of the full-size denoiser against a plain implementation: same weights, same gradients.

The plain one decodes all tokens of every window, as the published structure does. Both run in one process, in turn;
processor time is taken and divided by the threads. Gradients are compared without dropout, times are taken with it.

python -m benchmarks.training_step [--clips 8] [--frames 64] [--repeats 5] [--threads 2]
"""

from __future__ import annotations

import argparse
import resource
from statistics import median

import torch
from torch import Tensor, nn

from benchmarks.sampling import PlainDenoiser, in_turn
from dreamtalk_models.denoiser import Denoiser


def step(network: nn.Module, inputs: list[Tensor], target: Tensor) -> Tensor:
    """Loss and gradients of one step."""
    network.zero_grad(set_to_none=True)
    loss = (network(*inputs) - target).square().mean()
    loss.backward()
    return loss


def gradient_difference(plain: PlainDenoiser, denoiser: Denoiser, inputs: list[Tensor], target: Tensor) -> float:
    """Largest difference of any parameter's gradient, as a share of the largest entry of that gradient."""
    step(denoiser, inputs, target)
    ours = {name: parameter.grad.clone() for name, parameter in denoiser.named_parameters()}
    step(plain, inputs, target)
    theirs = {name.removeprefix("ours."): p.grad for name, p in plain.named_parameters() if p.grad is not None}
    largest = max(float(grad.abs().max()) for grad in theirs.values())
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours) / largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    denoiser = Denoiser()
    shape = (given.clips, given.frames)
    mask = torch.arange(256).expand(given.clips, -1) >= 200
    inputs = [
        torch.randn(*shape, 64),
        torch.randint(1, 1001, shape[:1]),
        torch.randn(given.clips, 2 * given.frames + 9, 1024),
    ]
    inputs += [0.2 * torch.randn(given.clips, 256, 64), mask]
    target = 0.2 * torch.randn(*shape, 64)

    step(denoiser.train(), inputs, target)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    plain = PlainDenoiser(denoiser)
    print(f"ours: peak memory of the process {peak:.2f} GiB")
    print(f"largest difference of gradients {gradient_difference(plain.eval(), denoiser.eval(), inputs, target):.1e}")
    plain.train()
    seconds = in_turn(
        {"plain": lambda: step(plain, inputs, target), "ours": lambda: step(denoiser, inputs, target)}, given.repeats
    )
    for name, values in seconds.items():
        print(f"{name}: {median(values) / given.threads:.2f} s a step on {given.threads} cores")
    ratios = [plain / ours for plain, ours in zip(seconds["plain"], seconds["ours"], strict=True)]
    print(f"ratio {median(ratios):.2f} (each turn: {', '.join(f'{ratio:.2f}' for ratio in ratios)})")


if __name__ == "__main__":
    main()
