"""Train SyncNet on the corpus' own pictures and sound: the judge where its published weights are absent.

Chung and Zisserman 2016 train with a contrastive loss on single pairs; here each mouth is told its own sound among
those of its clip's other windows and of other clips (InfoNCE, van den Oord et al. 2018, over the L2 distance that the
protocol measures). Single pairs stay at chance for very long on a small corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from dreamtalk_models.syncnet import SyncNet, sync_offset
from stages import params as parameters
from stages.columns import Columns
from stages.corpus.media import Clips
from stages.features import sync_inputs
from stages.progress import track
from stages.shards import workers
from stages.training import data, figures, loop
from stages.training.session import CLIPS, LANDMARKS, SPLIT, Session, read_split, session

VALIDATION_BATCHES = 4
VSHIFT = 15  # frames, of the protocol
AT_ONCE = 64  # windows embedded at once when judging; bounds memory


@dataclass(frozen=True)
class Mouths:
    """Mouth crops and sound of clips, end to end.

    Attributes:
        crops: (frames, S, S, 3) uint8 RGB.
        mfcc: (4 · frames, 13).
        lengths: (clips,) frames of each.
    """

    crops: np.ndarray
    mfcc: np.ndarray
    lengths: Tensor

    @property
    def firsts(self) -> Tensor:
        """(clips,) where each begins."""
        return self.lengths.cumsum(0) - self.lengths

    def windows(self, clips: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
        """Lips (B, 3, 5, S, S) and sound (B, 1, 13, 20) of the windows that begin at frames `starts` of `clips`."""
        frames = (self.firsts[clips] + starts).numpy()
        return sync_inputs.lip_windows(self.crops, frames), sync_inputs.audio_windows(self.mfcc, frames)


def load(clip_ids: Sequence[str], media: Clips, landmarks: Columns, size: int) -> Mouths:
    """Decode clips once and keep their mouths; clips of fewer than 5 frames are left out.

    Raises:
        data.DataError: all of them have fewer.
    """
    frames = {clip_id: len(landmarks[clip_id]["landmarks"]) for clip_id in clip_ids}
    kept = {clip_id: count for clip_id, count in frames.items() if count >= sync_inputs.WINDOW}
    if not kept:
        raise data.DataError("no clip is long enough for SyncNet's windows of 5 frames")
    total = sum(kept.values())
    mouths = Mouths(
        data.allocate((total, size, size, 3), np.uint8),
        data.allocate((sync_inputs.STEPS_PER_FRAME * total, sync_inputs.CEPSTRA), np.float32),
        torch.tensor(list(kept.values())),
    )

    def one(clip_id: str, first: int) -> None:
        points = landmarks[clip_id]["landmarks"]
        last, rate = first + len(points), int(media.table.loc[clip_id, "audio_rate"])
        crops = sync_inputs.mouth_crops(media.frames(clip_id)[: len(points)], points, size)
        mouths.crops[first:last] = crops
        steps = slice(sync_inputs.STEPS_PER_FRAME * first, sync_inputs.STEPS_PER_FRAME * last)
        mouths.mfcc[steps] = sync_inputs.mfcc(media.audio(clip_id), rate, len(points))

    with ThreadPoolExecutor(workers()) as pool:
        for _ in track(pool.map(one, kept, mouths.firsts.tolist()), "mouths", total=len(kept)):
            pass
    return mouths


def examples(mouths: Mouths, p: parameters.SyncNet, generator: Generator) -> loop.Batch:
    """K windows of each of B clips: lips (B·K, 3, 5, S, S), sound (B·K, 1, 13, 20), their clip and start (B·K,)."""
    clips = torch.randint(len(mouths.lengths), (max(1, p.batch // p.windows_per_clip),), generator=generator)
    clips = clips.repeat_interleave(p.windows_per_clip)
    starts = data.uniform(torch.zeros_like(clips), mouths.lengths[clips] - sync_inputs.WINDOW, generator)
    lips, sound = mouths.windows(clips, starts)
    mirrored = torch.rand(len(lips), generator=generator) < 0.5
    lips = torch.where(mirrored[:, None, None, None, None], lips.flip(4), lips)
    return {"lips": lips, "sound": sound, "clip": clips, "start": starts}


def contrast(network: SyncNet, batch: loop.Batch, temperature: float) -> tuple[Tensor, dict[str, Tensor]]:
    """InfoNCE both ways over all windows of the batch; windows one frame apart are too close to be told."""
    logits = -torch.cdist(network.forward_lip(batch["lips"]), network.forward_audio(batch["sound"])) / temperature
    close = (batch["clip"][:, None] == batch["clip"]) & ((batch["start"][:, None] - batch["start"]).abs() < 2)
    own = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(close & ~own, -torch.inf)
    target = torch.arange(len(logits), device=logits.device)
    loss = (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.mT, target)) / 2
    return loss, {"accuracy": (logits.argmax(1) == target).float().mean()}


def task(train: Mouths, val: Mouths, p: parameters.SyncNet) -> loop.Task:
    def loss(network: SyncNet, batch: loop.Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return contrast(network, batch, p.temperature)

    def validate(network: SyncNet) -> dict[str, float]:
        generator = Generator().manual_seed(0)
        batches = [examples(val, p, generator) for _ in range(VALIDATION_BATCHES)]
        found = [
            contrast(network, {name: tensor.to(loop.device()) for name, tensor in batch.items()}, p.temperature)
            for batch in batches
        ]
        return {
            "loss": float(torch.stack([value for value, _ in found]).mean()),
            "accuracy": float(torch.stack([metrics["accuracy"] for _, metrics in found]).mean()),
        }

    return loop.Task(lambda generator: examples(train, p, generator), loss, validate)


@torch.no_grad()
def embed(network: SyncNet, mouths: Mouths, clip: int) -> tuple[Tensor, Tensor]:
    """Embeddings (n - 4, E) of all windows of a clip: lips, sound."""
    starts = torch.arange(int(mouths.lengths[clip]) - sync_inputs.WINDOW + 1)
    lips, sound = [], []
    for part in starts.split(AT_ONCE):
        pictures, steps = mouths.windows(torch.full_like(part, clip), part)
        lips.append(network.forward_lip(pictures.to(loop.device())).cpu())
        sound.append(network.forward_audio(steps.to(loop.device())).cpu())
    return torch.cat(lips), torch.cat(sound)


def report(s: Session, network: SyncNet, mouths: Mouths, name: str) -> None:
    """The protocol on every clip of held-out speakers, on true sound and on the sound of another clip."""
    embedded = [embed(network, mouths, clip) for clip in range(len(mouths.lengths))]
    own = [sync_offset(lips, sound, VSHIFT) for lips, sound in embedded]
    wrong = []
    for (lips, _), (_, sound) in zip(embedded, [*embedded[1:], embedded[0]], strict=True):
        frames = min(len(lips), len(sound))
        wrong.append(sync_offset(lips[:frames], sound[:frames], VSHIFT))
    s.run.summary(
        {
            f"{name}/clips": len(own),
            f"{name}/offset_exact": float(np.mean([found.offset == 0 for found in own])),
            f"{name}/offset_within_1": float(np.mean([abs(found.offset) <= 1 for found in own])),
            f"{name}/confidence": float(np.mean([found.confidence for found in own])),
            f"{name}/confidence_other_sound": float(np.mean([found.confidence for found in wrong])),
            f"{name}/min_distance": float(np.mean([found.min_dist for found in own])),
        }
    )
    offsets = range(-VSHIFT, VSHIFT + 1)
    curve = distance_curve(embedded)
    s.run.summary({f"{name}/best_offset": offsets[int(np.nanargmin(curve))]})
    s.run.figure(
        f"distance_{name}",
        figures.lines(
            offsets, {name: curve}, "offset of the sound, frames", "mean L2 distance", "SyncNet, held out", marker=0
        ),
    )


def distance_curve(embedded: Sequence[tuple[Tensor, Tensor]]) -> np.ndarray:
    """Mean distance of lips to the sound -15..15 frames away, over the windows that have one: (31,), NaN for none."""
    curve = []
    for offset in range(-VSHIFT, VSHIFT + 1):
        distances = []
        for lips, sound in embedded:
            first = max(0, -offset)
            rows = torch.arange(first, max(first, min(len(lips), len(sound) - offset)))
            distances.append((lips[rows] - sound[rows + offset]).norm(dim=1))
        curve.append(float(torch.cat(distances).mean()))
    return np.array(curve)


def main() -> None:
    with session("train_syncnet", "syncnet", inputs=(SPLIT, CLIPS, LANDMARKS)) as s:
        p = s.params.syncnet
        split = read_split(s.run)
        media, landmarks = Clips(CLIPS), Columns(LANDMARKS)
        counts = {"train": p.clips, "val": max(1, p.clips // 4), "test": max(1, p.clips // 4)}
        mouths = {
            name: load(data.spread(split[split["split"] == name], count), media, landmarks, p.size)
            for name, count in counts.items()
        }
        torch.manual_seed(s.seed)
        network = SyncNet(width=p.width, size=p.size)
        work = task(mouths["train"], mouths["val"], p)
        network = s.train(network, work, steps=p.steps, learning_rate=p.learning_rate)
        s.save(network)
        for name in ("val", "test"):
            report(s, network, mouths[name], name)


if __name__ == "__main__":
    main()
