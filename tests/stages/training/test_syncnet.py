from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from dreamtalk_models.syncnet import SyncNet as Network
from stages import columns, tables
from stages.corpus.encode import write_mp4, write_wav
from stages.corpus.media import Clips
from stages.features import sync_inputs
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
    return syncnet.Mouths(np.concatenate(crops), np.concatenate(mfcc), torch.full((clips,), frames))


@pytest.fixture
def films(tmp_path: Path) -> tuple[Clips, columns.Columns]:
    """Clips of noise: "short", of 4 frames, and two of 6 and 9."""
    rng = np.random.default_rng(0)
    clips, landmarks = [], []
    with tarfile.open(tmp_path / "shard-00000.tar", "w") as shard:
        for clip_id, frames in (("short", 4), ("one", 6), ("other", 9)):
            write_mp4(tmp_path / f"{clip_id}.mp4", rng.integers(0, 255, (frames, 64, 64, 3), np.uint8), 25)
            write_wav(tmp_path / f"{clip_id}.wav", 0.1 * rng.normal(size=640 * frames), 16000)
            for suffix in ("mp4", "wav"):
                shard.add(tmp_path / f"{clip_id}.{suffix}", f"{clip_id}.{suffix}")
            clips.append({"clip_id": clip_id, "frames": frames, "audio_rate": 16000, "shard": "shard-00000.tar"})
            landmarks.append({"clip_id": clip_id, "landmarks": rng.uniform(10, 54, (frames, 478 * 3))})
    tables.write(tables.from_rows(clips, tables.CLIPS), tables.CLIPS, tmp_path / "clips.parquet")
    columns.write_shard(tmp_path / "shard-00000.arrow", landmarks)
    return Clips(tmp_path), columns.Columns(tmp_path)


def test_windows_are_those_of_their_clip() -> None:
    joined = mouths(0)
    lips, sound = joined.windows(torch.tensor([2]), torch.tensor([7]))
    assert lips.shape == (1, 3, 5, 48, 48)
    np.testing.assert_array_equal(lips[0].permute(1, 2, 3, 0).numpy(), joined.crops[87:92, ..., ::-1])
    np.testing.assert_array_equal(sound[0, 0].T, joined.mfcc[4 * 87 : 4 * 87 + 20])


def test_mouths_of_clips_lie_end_to_end_in_memory_and_on_disk(films, tmp_path: Path, monkeypatch) -> None:
    media, landmarks = films
    monkeypatch.setattr(data, "WORK", tmp_path)
    resident = syncnet.load(["one", "other"], media, landmarks, 48)
    monkeypatch.setattr(data, "RESIDENT_BYTES", 0)
    mapped = syncnet.load(["one", "other"], media, landmarks, 48)
    assert isinstance(mapped.crops, np.memmap) and not isinstance(resident.crops, np.memmap)
    for clip_id, first, last in (("one", 0, 6), ("other", 6, 15)):
        crops = sync_inputs.mouth_crops(media.frames(clip_id), landmarks[clip_id]["landmarks"], 48)
        mfcc = sync_inputs.mfcc(media.audio(clip_id), 16000, last - first)
        for mouths in (resident, mapped):
            np.testing.assert_array_equal(mouths.crops[first:last], crops)
            np.testing.assert_array_equal(mouths.mfcc[4 * first : 4 * last], mfcc)


def test_short_clips_are_left_out_and_none_is_said(films) -> None:
    assert syncnet.load(["short", "one"], *films, 48).lengths.tolist() == [6]
    with pytest.raises(data.DataError, match="long enough"):
        syncnet.load(["short"], *films, 48)


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
