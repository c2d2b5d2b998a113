from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from stages.columns import Columns
from stages.training import data


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def naive(columns: Columns, clip_id: str, name: str, start: int, length: int) -> np.ndarray:
    array = columns[clip_id][name]
    out = np.zeros((length, array.shape[1]), np.float32)
    for row in range(length):
        if 0 <= start + row < len(array):
            out[row] = array[start + row]
    return out


def test_gathered_windows_equal_naive_slices_also_outside_the_clip(toy) -> None:
    corpus = toy.corpus("train")
    clips = torch.tensor([0, 3, 3, len(corpus) - 1])
    starts = torch.tensor([0, -4, 60, 44])
    motion, audio = Columns(toy.root / "data/motion"), Columns(toy.root / "data/audio")
    expression = corpus.expression.gather(clips, starts, 20)
    sound = corpus.sound(clips, starts, 20)
    for row, (clip, start) in enumerate(zip(clips.tolist(), starts.tolist(), strict=True)):
        clip_id = corpus.table["clip_id"][clip]
        np.testing.assert_array_equal(expression[row], naive(motion, clip_id, "expression", start, 20))
        np.testing.assert_array_equal(sound[row], naive(audio, clip_id, "features", 2 * start, 40))


def test_sound_around_frames_reaches_from_5_rows_before_the_first_to_5_after_the_last(toy) -> None:
    corpus = toy.corpus("train")
    clips, starts = torch.tensor([2, 5]), torch.tensor([0, 30])
    rows = corpus.sound_around(clips, starts, 12, 5)
    audio = Columns(toy.root / "data/audio")
    assert rows.shape == (2, 33, corpus.audio.width)
    for row in range(2):
        clip_id = corpus.table["clip_id"][int(clips[row])]
        first = 2 * int(starts[row]) - 5
        np.testing.assert_array_equal(rows[row], naive(audio, clip_id, "features", first, 33))


def test_memory_mapped_column_gives_the_same_windows(toy, monkeypatch, tmp_path) -> None:
    resident = toy.corpus("train")
    monkeypatch.setattr(data, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(data, "WORK", tmp_path)
    mapped = toy.corpus("train")
    clips = torch.arange(len(resident))
    starts = resident.starts(clips, 30, generator())
    assert torch.equal(resident.sound(clips, starts, 30), mapped.sound(clips, starts, 30))


def test_a_full_disk_is_said_before_anything_is_filled(small_disk: Path, monkeypatch) -> None:
    monkeypatch.setattr(data, "RESIDENT_BYTES", 0)
    monkeypatch.setattr(data, "WORK", small_disk)
    data.allocate((100, 1024), np.uint8)[:] = 1
    with pytest.raises(OSError) as error:
        data.allocate((1000, 1024), np.uint8)
    assert error.value.errno == errno.ENOSPC


def test_windows_lie_inside_their_clips_and_reach_both_ends(toy) -> None:
    corpus = toy.corpus("train")
    clips = torch.zeros(2000, dtype=torch.long)
    starts = corpus.starts(clips, 30, generator())
    assert starts.min() == 0
    assert starts.max() == corpus.frames[0] - 30
    assert corpus.inside(clips, starts, 30).all()
    assert corpus.starts(clips, 1000, generator()).max() == 0
    assert corpus.inside(clips[:1], starts[:1] * 0, 1000).sum() == corpus.frames[0]


def test_style_reference_is_a_segment_of_the_clip_with_a_mask(toy) -> None:
    corpus = toy.corpus("train")
    clips = torch.arange(len(corpus))
    style, mask = corpus.style(clips, 20, 64, generator())
    motion = Columns(toy.root / "data/motion")
    lengths = (~mask).sum(1)
    assert lengths.min() >= 20
    assert (lengths <= corpus.frames.clamp(max=64)).all()
    assert (style[mask] == 0).all()
    for clip in clips.tolist():
        whole = motion[corpus.table["clip_id"][clip]]["expression"]
        segment = style[clip, : lengths[clip]].numpy()
        assert any(np.array_equal(whole[i : i + len(segment)], segment) for i in range(len(whole)))


def test_style_reference_of_a_short_clip_is_the_whole_clip(toy) -> None:
    corpus = toy.corpus("train")
    _, mask = corpus.style(torch.tensor([0]), 500, 600, generator())
    assert (~mask).sum() == corpus.frames[0]


def test_other_clip_of_the_speaker_is_another_and_all_are_met(toy) -> None:
    corpus = toy.corpus("train")
    clips = torch.arange(len(corpus)).repeat(60)
    others = corpus.other_of_speaker(clips, generator())
    speaker = corpus.table["speaker"].to_numpy()
    assert (speaker[clips] == speaker[others]).all()
    assert (clips != others).all()
    assert set(others[clips == 0].tolist()) == set(np.flatnonzero(speaker == speaker[0])) - {0}


def test_other_clip_is_of_another_video_where_there_is_one(toy) -> None:
    split = toy.split[toy.split["split"] == "train"].sort_values("clip_id").reset_index(drop=True)
    first, second = split["speaker"].unique()[:2]
    of_first = np.flatnonzero(split["speaker"] == first)
    split.loc[of_first[:-1], "together"] = "a long video"
    split.loc[split["speaker"] == second, "together"] = "the only video"
    corpus = data.load(split, toy.root / "data/motion")
    clips = torch.arange(len(corpus)).repeat(60)
    others = corpus.other_of_speaker(clips, generator())
    videos, speakers = corpus.table["together"].to_numpy(), corpus.table["speaker"].to_numpy()
    parted = speakers[clips] != second
    assert (speakers[clips] == speakers[others]).all() and (clips != others).all()
    assert (videos[clips] != videos[others])[parted].all()
    assert set(others[clips == of_first[-1]].tolist()) == set(of_first[:-1])


def test_other_clip_of_a_speaker_with_one_clip_is_itself(toy) -> None:
    alone = toy.split[toy.split["split"] == "train"].head(1)
    corpus = data.load(alone, toy.root / "data/motion", toy.root / "data/audio")
    assert corpus.other_of_speaker(torch.tensor([0]), generator()).tolist() == [0]


def test_no_clips_or_a_clip_without_motion_is_named(toy) -> None:
    with pytest.raises(data.DataError, match="has no clip"):
        data.load(toy.split.head(0), toy.root / "data/motion")
    stranger = toy.split.head(1).assign(clip_id="nobody")
    with pytest.raises(data.DataError, match="lacks clip nobody"):
        data.load(stranger, toy.root / "data/motion")


def test_spread_takes_evenly() -> None:
    split = pd.DataFrame({"clip_id": [f"c{i}" for i in range(9)]})
    assert data.spread(split, 3) == ["c0", "c4", "c8"]
    assert len(data.spread(split, 100)) == 9
    with pytest.raises(data.DataError, match="has no clip"):
        data.spread(split.head(0), 3)
