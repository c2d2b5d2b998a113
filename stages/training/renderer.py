"""Train PIRenderer: a portrait and motion coefficients to a picture (Ren et al. 2021; DreamTalk, section III-C).

Two frames of one clip are the portrait and the wanted picture, both ways; first the warping stage alone, then all.
The published perceptual loss needs VGG19 weights, which must be fetched and are for research only. In its place stands
a pyramid loss: L1 of colours and of their gradients at several scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure

from dreamtalk_models.renderers.pirenderer import PIRenderer
from stages import params as parameters
from stages.columns import Columns
from stages.corpus.media import Clips
from stages.progress import track
from stages.shards import workers
from stages.training import data, figures, loop
from stages.training.session import CLIPS, MOTION, SPLIT, Session, read_split, session

COEFFICIENTS = ("expression", "angles", "translation", "crop")  # the driving channels, in order
VALIDATION_PAIRS = 32
TEST_PAIRS = 128
SHOWN_PAIRS = 4
AT_ONCE = 16  # pictures drawn at once when judging; bounds memory


@dataclass(frozen=True)
class Pictures:
    """Some frames of each clip, the same number of all, and the motion around them.

    Attributes:
        frames: (clips, k, S, S, 3) uint8 RGB.
        driving: (clips, k, D + 9, 2 · radius + 1).
    """

    frames: np.ndarray
    driving: np.ndarray

    def pairs(self, clips: Tensor, sources: Tensor, targets: Tensor) -> loop.Batch:
        """portrait and target (B, 3, S, S) in [-1, 1]; driving (B, D + 9, 2 · radius + 1) of the target."""
        clips, sources, targets = clips.numpy(), sources.numpy(), targets.numpy()
        return {
            "portrait": _picture(self.frames[clips, sources]),
            "target": _picture(self.frames[clips, targets]),
            "driving": torch.from_numpy(self.driving[clips, targets]),
        }


def load(clip_ids: Sequence[str], media: Clips, motion: Columns, p: parameters.Renderer) -> Pictures:
    """Decode p.frames_per_clip evenly spread frames of each clip, with the motion around them."""
    size, count = p.size, p.frames_per_clip
    around = np.arange(-p.radius, p.radius + 1)
    channels = driving_coefficients(motion[clip_ids[0]]).shape[1]
    pictures = Pictures(
        data.allocate((len(clip_ids), count, size, size, 3), np.uint8),
        data.allocate((len(clip_ids), count, channels, len(around)), np.float32),
    )

    def one(index: int) -> None:
        coefficients = driving_coefficients(motion[clip_ids[index]])
        last = len(coefficients) - 1
        chosen = np.linspace(0, last, count).round().astype(int)
        decoded, where = np.unique(chosen, return_inverse=True)
        frames = media.frames(clip_ids[index], decoded.tolist())
        small = np.stack([cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA) for frame in frames])
        pictures.frames[index] = small[where]
        windows = coefficients[(chosen[:, None] + around).clip(0, last)]
        pictures.driving[index] = windows.transpose(0, 2, 1)

    with ThreadPoolExecutor(workers()) as pool:
        for _ in track(pool.map(one, range(len(clip_ids))), "pictures", total=len(clip_ids)):
            pass
    return pictures


def driving_coefficients(clip: dict[str, np.ndarray]) -> np.ndarray:
    """(n, D + 9): expression, angles, translation, crop."""
    return np.concatenate([clip[name] for name in COEFFICIENTS], axis=1)


def examples(pictures: Pictures, count: int, generator: Generator) -> loop.Batch:
    """Random pairs of frames, each both ways."""
    clips, per_clip = pictures.frames.shape[:2]
    half = max(1, count // 2)
    clip = torch.randint(clips, (half,), generator=generator)
    first = torch.randint(per_clip, (half,), generator=generator)
    second = (first + torch.randint(1, per_clip, (half,), generator=generator)) % per_clip
    return pictures.pairs(clip.repeat(2), torch.cat([first, second]), torch.cat([second, first]))


def pyramid_loss(picture: Tensor, target: Tensor, scales: int, detail_weight: float) -> Tensor:
    """Mean over `scales` halvings of the L1 distance of colours, plus `detail_weight` times that of gradients.

    Args:
        picture, target: (B, 3, H, W).
    """
    total = picture.new_zeros(())
    for scale in range(scales):
        if scale:
            picture, target = functional.avg_pool2d(picture, 2), functional.avg_pool2d(target, 2)
        difference = picture - target
        detail = difference.diff(dim=2).abs().mean() + difference.diff(dim=3).abs().mean()
        total = total + difference.abs().mean() + detail_weight * detail
    return total / scales


def task(train: Pictures, val: Pictures, scale: tuple[Tensor, Tensor], p: parameters.Renderer, stage: str) -> loop.Task:
    """The task of one phase: stage "warp" trains the flow, "edit" all.

    Args:
        scale: mean and deviation of the driving channels, see :func:`driving_scale`.
    """
    mean, std = (part.to(loop.device()) for part in scale)

    def losses(network: PIRenderer, batch: loop.Batch) -> dict[str, Tensor]:
        output = network(batch["portrait"], (batch["driving"] - mean) / std, stage)
        wanted = {"warp": "warp_image"} | ({"final": "fake_image"} if stage == "edit" else {})
        return {
            name: pyramid_loss(output[key], batch["target"], p.scales, p.detail_weight) for name, key in wanted.items()
        }

    def total(found: dict[str, Tensor]) -> Tensor:
        return found["warp"] if stage == "warp" else found["final"] + p.warp_weight * found["warp"]

    def loss(network: PIRenderer, batch: loop.Batch) -> tuple[Tensor, dict[str, Tensor]]:
        found = losses(network, batch)
        return total(found), found

    def validate(network: PIRenderer) -> dict[str, float]:
        batch = examples(val, VALIDATION_PAIRS, Generator().manual_seed(0))
        found = losses(network, {name: tensor.to(loop.device()) for name, tensor in batch.items()})
        return {"loss": float(total(found)), **{name: float(value) for name, value in found.items()}}

    return loop.Task(lambda generator: examples(train, p.batch, generator), loss, validate)


def driving_scale(pictures: Pictures) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each driving channel, (D + 9, 1); 1 for one that is constant."""
    middle = pictures.driving[..., pictures.driving.shape[3] // 2].reshape(-1, pictures.driving.shape[2])
    std = middle.std(0)
    return torch.from_numpy(middle.mean(0))[:, None], torch.from_numpy(np.where(std > 1e-6, std, 1))[:, None]


@torch.no_grad()
def fold_scale(network: PIRenderer, scale: tuple[Tensor, Tensor]) -> None:
    """Let a network that was trained on standardised coefficients take them as they are, without changing its output:
    the first layer is linear and unpadded, so mean and deviation go into its weights."""
    conv = network.mapping_net.first[0]
    mean, std = (part.to(conv.weight.device) for part in scale)
    conv.weight.div_(std)
    conv.bias.sub_((conv.weight * mean).sum((1, 2)))


@torch.no_grad()
def judge(network: PIRenderer, pictures: Pictures) -> tuple[dict[str, float], np.ndarray]:
    """SSIM (Gaussian window, colour, range 2) and L1 of drawn pictures, and of the portrait itself as the floor.

    Returns:
        The numbers, and some examples (rows, 4, H, W, 3) in [0, 1]: portrait, wanted, warped, drawn.
    """
    clips, per_clip = pictures.frames.shape[:2]
    count = min(TEST_PAIRS, clips * (per_clip - 1))
    index = torch.linspace(0, clips * (per_clip - 1) - 1, count).round().long()
    clip, target = index // (per_clip - 1), 1 + index % (per_clip - 1)
    batch = pictures.pairs(clip, torch.zeros_like(clip), target)
    parts = [
        network(portrait.to(loop.device()), driving.to(loop.device()))
        for portrait, driving in zip(batch["portrait"].split(AT_ONCE), batch["driving"].split(AT_ONCE), strict=True)
    ]
    drawn, warped = (torch.cat([part[key].cpu() for part in parts]) for key in ("fake_image", "warp_image"))
    scores = {}
    for name, picture in {"drawn": drawn, "warped": warped, "portrait": batch["portrait"]}.items():
        scores[f"ssim/{name}"] = float(structural_similarity_index_measure(picture, batch["target"], data_range=2.0))
        scores[f"l1/{name}"] = float((picture - batch["target"]).abs().mean() / 2)
    shown = torch.linspace(0, count - 1, min(SHOWN_PAIRS, count)).round().long()
    grid = torch.stack([batch["portrait"][shown], batch["target"][shown], warped[shown], drawn[shown]], 1)
    return scores, (grid.permute(0, 1, 3, 4, 2).numpy() + 1) / 2


def train(
    s: Session, network: PIRenderer, pictures: dict[str, Pictures], scale: tuple[Tensor, Tensor], p: parameters.Renderer
) -> PIRenderer:
    """Warping stage, then both, each with a fresh optimiser as published; the curves follow each other."""
    done = 0
    for part, stage, steps in (("warp", "warp", p.warp_steps), ("joint", "edit", p.joint_steps)):
        work = task(pictures["train"], pictures["val"], scale, p, stage)
        network = s.train(
            network, work, steps=steps, learning_rate=p.learning_rate, ema=p.ema, part=part, steps_before=done
        )
        done += steps
    return network


def _picture(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def main() -> None:
    with session("train_renderer", "renderer", inputs=(SPLIT, CLIPS, MOTION)) as s:
        p = s.params.renderer
        split = read_split(s.run)
        media, motion = Clips(CLIPS), Columns(MOTION)
        counts = {"train": p.clips, "val": max(1, p.clips // 4), "test": max(1, p.clips // 4)}
        pictures = {
            name: load(data.spread(split[split["split"] == name], count), media, motion, p)
            for name, count in counts.items()
        }
        torch.manual_seed(s.seed)
        network = PIRenderer(
            driving_dim=pictures["train"].driving.shape[2],
            descriptor=p.descriptor,
            warp_channels=p.warp_channels,
            edit_channels=p.edit_channels,
            max_channels=p.max_channels,
        )
        scale = driving_scale(pictures["train"])
        network = train(s, network, pictures, scale, p)
        fold_scale(network, scale)
        s.save(network)
        for name in ("val", "test"):
            scores, grid = judge(network, pictures[name])
            s.run.summary({f"{name}/{key}": value for key, value in scores.items()})
            columns = ("portrait", "wanted", "warped", "drawn")
            s.run.figure(f"pictures_{name}", figures.pictures(grid, columns, f"PIRenderer, {name} speakers"))


if __name__ == "__main__":
    main()
