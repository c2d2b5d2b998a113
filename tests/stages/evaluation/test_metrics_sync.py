"""The sync score: a judge that can see and hear one number a frame finds any shift."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamtalk_models.syncnet import SyncNet
from stages.evaluation.metrics.lip_sync import lip_sync

CODES = torch.from_numpy(np.random.default_rng(0).normal(size=(256, 8)).astype(np.float32))


class Reader:
    """Reads a frame's number from a pixel, and the sound's from the first cepstrum, and looks up a random code."""

    def forward_lip(self, frames: Tensor) -> Tensor:
        return CODES[frames[:, 0, 0, 0, 0].long()]

    def forward_audio(self, mfcc: Tensor) -> Tensor:
        return CODES[mfcc[:, 0, 0, 0].long()]


def numbered(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    crops = np.broadcast_to(numbers.astype(np.uint8)[:, None, None, None], (len(numbers), 4, 4, 3))
    return crops, np.repeat(numbers.astype(np.float32), 4)[:, None] * np.ones((1, 13), np.float32)


@pytest.mark.parametrize("shift", [-6, 0, 1, 9])
def test_sound_moved_by_frames_moves_the_offset_by_as_many(shift: int):
    crops, _ = numbered(np.arange(20, 120))
    _, late = numbered(np.arange(20, 120) - shift)  # frame i hears what was said `shift` frames before
    in_sync = lip_sync(Reader(), *numbered(np.arange(20, 120)), vshift=15)
    result = lip_sync(Reader(), crops, late, vshift=15)
    assert in_sync.offset == 0
    assert result.offset - in_sync.offset == -shift
    assert result.confidence > 2 and result.min_dist < 1


def test_unrelated_sound_has_less_confidence():
    crops, heard = numbered(np.arange(20, 120))
    _, other = numbered(np.random.default_rng(1).permutation(np.arange(20, 120)))
    assert lip_sync(Reader(), crops, other, 15).confidence < 0.5 * lip_sync(Reader(), crops, heard, 15).confidence


def test_the_score_does_not_depend_on_batches(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    net = SyncNet(width=0.05, size=48).eval()
    rng = np.random.default_rng(0)
    crops, mfcc = rng.integers(0, 256, (40, 48, 48, 3), dtype=np.uint8), rng.normal(size=(160, 13)).astype(np.float32)
    whole = lip_sync(net, crops, mfcc, 5)
    monkeypatch.setattr("stages.evaluation.metrics.lip_sync.BATCH", 7)
    np.testing.assert_allclose(whole, lip_sync(net, crops, mfcc, 5), rtol=1e-4)


def test_too_little_is_refused():
    crops, mfcc = numbered(np.arange(10))
    with pytest.raises(ValueError, match="at least five frames"):
        lip_sync(Reader(), crops[:4], mfcc, 15)
    with pytest.raises(ValueError, match="do not cover 10 frames"):
        lip_sync(Reader(), crops, mfcc[:-4], 15)
