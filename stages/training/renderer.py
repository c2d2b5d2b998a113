"""Train PIRenderer: a portrait and motion coefficients to a picture (Ren et al. 2021; DreamTalk, section III-C).

Two frames of one clip are the portrait and the wanted picture, both ways; first the warping stage alone, then all.
The published perceptual and style losses need VGG19 weights, which the user fetches (renderer.vgg). Without them a
pyramid loss stands in: L1 of colours and of their gradients at several scales.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Generator, Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from dreamtalk_models import checkpoints
from dreamtalk_models.renderers import vgg
from dreamtalk_models.renderers.pirenderer import PIRenderer
from dreamtalk_models.renderers.start import start_as_warped
from stages import params as parameters
from stages.columns import Columns
from stages.corpus.media import Clips
from stages.progress import track
from stages.shards import workers
from stages.training import data, figures, loop
from stages.training.data import DataError
from stages.training.picture_loss import pyramid_loss, vgg_trunk
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


def task(
    train: Pictures,
    val: Pictures,
    scale: tuple[Tensor, Tensor],
    p: parameters.Renderer,
    stage: str,
    trunk: vgg.VGG19 | None = None,
) -> loop.Task:
    """The task of one phase: stage "warp" trains the flow, "edit" all.

    Args:
        scale: mean and deviation of the driving channels, see :func:`driving_scale`.
        trunk: for the published losses; None: the pyramid loss.
    """
    mean, std = (part.to(loop.device()) for part in scale)

    def distance(picture: Tensor, target: Tensor) -> Tensor:
        if trunk is None:
            return pyramid_loss(picture, target, p.scales, p.detail_weight)
        return vgg.perceptual_loss(trunk, picture, target, p.scales)

    def losses(network: PIRenderer, batch: loop.Batch, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Into `found`, the pictures that they are of."""
        found |= network(batch["portrait"], (batch["driving"] - mean) / std, stage)
        parts = {"warp": distance(found["warp_image"], batch["target"])}
        if stage == "edit":
            parts["final"] = distance(found["fake_image"], batch["target"])
            if trunk is not None:
                parts["style"] = vgg.style_loss(trunk, found["fake_image"], batch["target"])
        return parts

    def total(found: dict[str, Tensor]) -> Tensor:
        if stage == "warp":
            return found["warp"]
        return found["final"] + p.style_weight * found.get("style", 0.0) + p.warp_weight * found["warp"]

    def loss(network: PIRenderer, batch: loop.Batch) -> tuple[Tensor, dict[str, Tensor]]:
        found = losses(network, batch, {})
        return total(found), found

    def validate(network: PIRenderer) -> dict[str, float]:
        clips, per_clip = val.frames.shape[:2]
        count = min(VALIDATION_PAIRS, clips * per_clip * (per_clip - 1))  # more would be the same pairs again
        batch = examples(val, count, Generator().manual_seed(0))
        batch = {name: tensor.to(loop.device()) for name, tensor in batch.items()}
        pictures: dict[str, Tensor] = {}
        found = losses(network, batch, pictures)
        drawn = pictures["fake_image" if stage == "edit" else "warp_image"].float()
        ssim = structural_similarity_index_measure(drawn, batch["target"], data_range=2.0)
        return {
            "loss": float(total(found)),
            **{name: float(value) for name, value in found.items()},
            "ssim": float(ssim),
        }

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
def judge(
    network: PIRenderer, pictures: Pictures, p: parameters.Renderer, trunk: vgg.VGG19 | None = None
) -> tuple[dict[str, float], np.ndarray]:
    """SSIM (Gaussian window, colour, range 2), L1 and the distance that was trained on, "perceptual" with VGG19's
    `trunk`, else "pyramid", of drawn pictures, of warped ones, and of the portrait itself as the floor.

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
        pairs = zip(picture.split(AT_ONCE), batch["target"].split(AT_ONCE), strict=True)
        if trunk is None:
            kind, distances = "pyramid", [pyramid_loss(*pair, p.scales, p.detail_weight) for pair in pairs]
        else:
            pairs = ((a.to(loop.device()), b.to(loop.device())) for a, b in pairs)
            kind, distances = "perceptual", [vgg.perceptual_loss(trunk, *pair, p.scales) for pair in pairs]
        weights = [len(part) for part in picture.split(AT_ONCE)]
        scores[f"{kind}/{name}"] = float(np.average([float(value) for value in distances], weights=weights))
    shown = torch.linspace(0, count - 1, min(SHOWN_PAIRS, count)).round().long()
    grid = torch.stack([batch["portrait"][shown], batch["target"][shown], warped[shown], drawn[shown]], 1)
    return scores, (grid.permute(0, 1, 3, 4, 2).numpy() + 1) / 2


def beginning(p: parameters.Renderer, driving_dim: int) -> PIRenderer:
    """The network that the training starts from: a new one, or the published weights at renderer.init.

    Raises:
        DataError: those weights cannot be used, or want other driving coefficients than the corpus has.
    """
    if p.init is None:
        network = PIRenderer(
            driving_dim=driving_dim,
            descriptor=p.descriptor,
            warp_channels=p.warp_channels,
            edit_channels=p.edit_channels,
            max_channels=p.max_channels,
        )
        start_as_warped(network)
        return network
    try:
        network = checkpoints.load_official("pirenderer", p.init)
    except ValueError as error:
        raise DataError(f"renderer.init: {error}") from error
    if network.config["driving_dim"] != driving_dim:
        raise DataError(
            f"renderer.init: {p.init} is driven by {network.config['driving_dim']} numbers a frame, the corpus has "
            f"{driving_dim}: set face_model.expression_dim to {network.config['driving_dim'] - 9}"
        )
    return network


def train(
    s: Session,
    network: PIRenderer,
    pictures: dict[str, Pictures],
    scale: tuple[Tensor, Tensor],
    p: parameters.Renderer,
    trunk: vgg.VGG19 | None,
) -> PIRenderer:
    """Warping stage, then both, each with a fresh optimiser as published; the curves follow each other."""
    done, rate = 0, p.learning_rate if p.init is None else p.fine_tuning_rate
    for part, stage, steps in (("warp", "warp", p.warp_steps), ("joint", "edit", p.joint_steps)):
        work = task(pictures["train"], pictures["val"], scale, p, stage, trunk)
        network = s.train(network, work, steps=steps, learning_rate=rate, ema=p.ema, part=part, steps_before=done)
        done += steps
    return network


def _picture(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def main() -> None:
    with session("train_renderer", "renderer", inputs=(SPLIT, CLIPS, MOTION), files=("init", "vgg")) as s:
        p = s.params.renderer
        trunk = vgg_trunk(p)
        split = read_split(s.run)
        media, motion = Clips(CLIPS), Columns(MOTION)
        counts = {"train": p.clips, "val": max(1, p.clips // 4), "test": max(1, p.clips // 4)}
        pictures = {
            name: load(data.spread(split[split["split"] == name], count), media, motion, p)
            for name, count in counts.items()
        }
        torch.manual_seed(s.seed)
        network = beginning(p, pictures["train"].driving.shape[2])
        # published weights take the coefficients as they are
        scale = driving_scale(pictures["train"]) if p.init is None else (torch.zeros(1, 1), torch.ones(1, 1))
        network = train(s, network, pictures, scale, p, trunk)
        fold_scale(network, scale)
        s.save(network)
        for name in ("val", "test"):
            scores, grid = judge(network, pictures[name], p, trunk)
            s.run.summary({f"{name}/{key}": value for key, value in scores.items()})
            columns = ("portrait", "wanted", "warped", "drawn")
            s.run.figure(f"pictures_{name}", figures.pictures(grid, columns, f"PIRenderer, {name} speakers"))


if __name__ == "__main__":
    main()
