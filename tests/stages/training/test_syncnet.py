from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from dreamtalk_models.syncnet import SyncNet as Network
from stages.params import SyncNet, TrainingLoop
from stages.training import data, loop, syncnet

P = SyncNet(width=0.02, size=48, clips=8, windows_per_clip=6, temperature=1.0, batch=24, steps=60, learning_rate=5e-3)
LOOP = TrainingLoop(warmup=0.05, weight_decay=0.01, clip_norm=1.0, validations=2, patience=0)


def mouths(seed: int, clips: int = 6, frames: int = 40) -> syncnet.Mouths:
    """Squares that open with the loudness of the sound."""
    rng = np.random.default_rng(seed)
    crops, mfcc = [], []
    for _ in range(clips):
        loud = gaussian_filter1d(rng.normal(size=4 * frames), 4) * 3
        opening = np.clip(24 + 10 * loud[::4], 4, 44).astype(int)
        picture = np.full((frames, 48, 48, 3), 60, np.uint8)
        for frame, height in enumerate(opening):
            picture[frame, 24 - height // 2 : 24 + height // 2, 12:36] = 200
        crops.append(picture)
        mfcc.append((loud[:, None] * np.ones(13) + 0.1 * rng.normal(size=(4 * frames, 13))).astype(np.float32))
    return syncnet.join(crops, mfcc)


def test_windows_are_those_of_their_clip() -> None:
    joined = mouths(0)
    lips, sound = joined.windows(torch.tensor([2]), torch.tensor([7]))
    assert lips.shape == (1, 3, 5, 48, 48)
    np.testing.assert_array_equal(lips[0].permute(1, 2, 3, 0).numpy(), joined.crops[87:92, ..., ::-1])
    np.testing.assert_array_equal(sound[0, 0].T, joined.mfcc[4 * 87 : 4 * 87 + 20])


def test_short_clips_are_left_out_and_none_is_said() -> None:
    short, long = np.zeros((4, 48, 48, 3), np.uint8), np.zeros((6, 48, 48, 3), np.uint8)
    sound = [np.zeros((16, 13), np.float32), np.zeros((24, 13), np.float32)]
    assert syncnet.join([short, long], sound).lengths.tolist() == [6]
    with pytest.raises(data.DataError, match="long enough"):
        syncnet.join([short], sound[:1])


def test_distance_of_held_out_clips_is_least_in_sync(tmp_path) -> None:
    torch.manual_seed(0)
    train, test = mouths(1), mouths(2)
    curves = []
    network = loop.train(
        Network(width=P.width, size=P.size),
        syncnet.task(train, test, P),
        LOOP,
        steps=P.steps,
        learning_rate=P.learning_rate,
        seed=0,
        work=tmp_path,
        log=lambda step, values: curves.append(values),
        label="syncnet",
    )
    assert curves[-1]["train/loss"] < curves[0]["train/loss"]
    embedded = [syncnet.embed(network, test, clip) for clip in range(len(test.lengths))]
    curve = syncnet.distance_curve(embedded)
    assert abs(int(curve.argmin()) - syncnet.VSHIFT) <= 1
