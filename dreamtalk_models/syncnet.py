"""SyncNet v2, the judge of lip sync (Chung and Zisserman 2016; joonson/syncnet_python), and its offset protocol."""

from __future__ import annotations

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

EMBEDDING = 1024


class SyncNet(nn.Module):
    """Two towers that bring 5 mouth frames and 0.2 s of sound to one space; parameters named as published.

    Args:
        width: share of the published channel counts, for a small judge trained on a small corpus.
        size: edge of the mouth crop in px, 224 as published. Below 112 px the first convolution has stride 1
            instead of 2, so that small crops keep their detail.

    Raises:
        ValueError: size is too small for the tower.
    """

    def __init__(self, *, width: float = 1.0, size: int = 224) -> None:
        super().__init__()
        self.config = {"width": width, "size": size}
        c64, c96, c192, c256, c384, c512 = (max(8, round(width * n)) for n in (64, 96, 192, 256, 384, 512))
        embedding = max(8, round(width * EMBEDDING))
        stride = 2 if size >= 112 else 1
        last = _last_map(size, stride)
        if last < 1:
            raise ValueError(f"mouth crops of {size} px are too small for SyncNet: use 48 or more")

        self.netcnnaud = nn.Sequential(
            *_conv(nn.Conv2d(1, c64, 3, padding=1)),
            nn.MaxPool2d(1, 1),
            *_conv(nn.Conv2d(c64, c192, 3, padding=1)),
            nn.MaxPool2d(3, (1, 2)),
            *_conv(nn.Conv2d(c192, c384, 3, padding=1)),
            *_conv(nn.Conv2d(c384, c256, 3, padding=1)),
            *_conv(nn.Conv2d(c256, c256, 3, padding=1)),
            nn.MaxPool2d(3, 2),
            *_conv(nn.Conv2d(c256, c512, (5, 4))),
        )
        self.netfcaud = _head(c512, embedding)
        self.netfclip = _head(c512, embedding)
        self.netcnnlip = nn.Sequential(
            *_conv(nn.Conv3d(3, c96, (5, 7, 7), (1, stride, stride))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv(nn.Conv3d(c96, c256, (1, 5, 5), (1, 2, 2), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), padding=(0, 1, 1)),
            *_conv(nn.Conv3d(c256, c256, (1, 3, 3), padding=(0, 1, 1))),
            *_conv(nn.Conv3d(c256, c256, (1, 3, 3), padding=(0, 1, 1))),
            *_conv(nn.Conv3d(c256, c256, (1, 3, 3), padding=(0, 1, 1))),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_conv(nn.Conv3d(c256, c512, (1, last, last))),
        )

    def forward_lip(self, frames: Tensor) -> Tensor:
        """(B, 3, 5, size, size) BGR frames at 25 fps, 0..255 → (B, embedding)."""
        return self.netfclip(self.netcnnlip(frames).flatten(1))

    def forward_audio(self, mfcc: Tensor) -> Tensor:
        """(B, 1, 13, 20) MFCC at 100 Hz → (B, embedding)."""
        return self.netfcaud(self.netcnnaud(mfcc).flatten(1))


class SyncOffset(NamedTuple):
    """Answer of the sync protocol.

    Attributes:
        offset: frames by which the sound must be shifted; 0 is in sync.
        min_dist: LSE-D, mean distance at the best shift; lower is better.
        confidence: LSE-C, median over shifts minus the minimum; higher is better.
    """

    offset: int
    min_dist: float
    confidence: float


def sync_offset(feat_video: Tensor, feat_audio: Tensor, vshift: int = 15) -> SyncOffset:
    """The published protocol: distance of every frame to the sounds up to `vshift` frames away.

    Sound beyond the ends counts as zeros, which biases clips that are not much longer than `vshift`.

    Args:
        feat_video: (n, E) embeddings, one a frame.
        feat_audio: (n, E) embeddings at the same frames.

    Raises:
        ValueError: the sequences differ in length or are empty.
    """
    if feat_video.shape != feat_audio.shape or not len(feat_video):
        raise ValueError(
            f"need as many video as audio features, at least one: {tuple(feat_video.shape)}, {tuple(feat_audio.shape)}"
        )
    padded = F.pad(feat_audio, (0, 0, vshift, vshift))
    shifted = padded.unfold(0, 2 * vshift + 1, 1).transpose(1, 2)  # (n, shifts, E)
    distance = F.pairwise_distance(feat_video[:, None], shifted).mean(0)
    best = int(distance.argmin())
    return SyncOffset(vshift - best, float(distance[best]), float(distance.median() - distance[best]))


def _conv(conv: nn.Conv2d | nn.Conv3d) -> list[nn.Module]:
    norm = nn.BatchNorm2d if isinstance(conv, nn.Conv2d) else nn.BatchNorm3d
    return [conv, norm(conv.out_channels), nn.ReLU()]


def _head(channels: int, embedding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, channels), nn.BatchNorm1d(channels), nn.ReLU(), nn.Linear(channels, embedding)
    )


def _last_map(size: int, stride: int) -> int:
    """Edge of the map that the lip tower's last convolution covers."""
    size = (size - 7) // stride + 1
    size = (size - 3) // 2 + 1
    size = (size + 2 - 5) // 2 + 1
    size = (size + 2 - 3) // 2 + 1
    return (size - 3) // 2 + 1
