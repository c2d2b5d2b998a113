from __future__ import annotations

import pytest
import torch

from stages.params import LipExpert, TrainingLoop
from stages.training import lip_expert, lip_expert_pairs, lip_expert_scores, loop

P = LipExpert(
    clip_frames=7,
    embedding=16,
    d_model=32,
    heads=2,
    feedforward=32,
    layers=1,
    dropout=0.0,
    style_frames=32,
    style_frames_min=16,
    windows_per_clip=8,
    strangers_per_clip=2,
    max_shift=15,
    easy_negatives=0.25,
    batch=96,
    steps=700,
    learning_rate=2e-3,
)
LOOP = TrainingLoop(warmup=0.05, weight_decay=0.01, clip_norm=1.0, validations=8, patience=0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_shifted_windows_lie_in_the_clip_two_to_max_shift_frames_away() -> None:
    frames = torch.full((5000,), 40)
    starts = torch.randint(34, (5000,), generator=generator())
    shifted, found = lip_expert_pairs.shifted_starts(frames, starts, 7, 15, generator(1))
    gap = shifted - starts
    assert found.all()
    assert shifted.min() == 0 and shifted.max() == 33
    assert set(gap.tolist()) == {*range(-15, -1), *range(2, 16)}


def test_clip_too_short_for_a_shift_is_said() -> None:
    _, found = lip_expert_pairs.shifted_starts(torch.tensor([8, 9]), torch.tensor([0, 0]), 7, 15, generator())
    assert found.tolist() == [False, True]


@pytest.mark.parametrize("negatives", ["hard", "easy"])
def test_negatives_have_another_sound_than_the_true_one(toy, negatives) -> None:
    corpus = toy.corpus("train")
    batch = lip_expert_pairs.pairs(corpus, P, 40, generator(), negatives)
    windows = [(clip, start) for clip in range(len(corpus)) for start in range(int(corpus.frames[clip]) - 6)]
    clips, starts = map(torch.tensor, zip(*windows, strict=True))
    sounds = corpus.sound(clips, starts, 7).numpy()
    motions = corpus.expression.gather(clips, starts, 7).numpy()
    at_sound = {sound.tobytes(): window for sound, window in zip(sounds, windows, strict=True)}
    at_motion = {motion.tobytes(): window for motion, window in zip(motions, windows, strict=True)}
    assert batch["in_sync"].sum() == 20
    for row in range(40):
        heard = at_sound[batch["audio"][row].numpy().tobytes()]
        seen = at_motion[batch["expression"][row].numpy().tobytes()]
        if batch["in_sync"][row]:
            assert heard == seen
        elif negatives == "hard":
            assert heard[0] == seen[0]
            assert 2 <= abs(heard[1] - seen[1]) <= 15
        else:
            assert heard[0] != seen[0]


def test_weights_halve_between_in_sync_and_not_and_ignore_neighbours() -> None:
    start = torch.tensor([[0, 1, 5, 30]])
    in_sync, weight = lip_expert_pairs.weights(start, 6, P)
    assert in_sync[0].diagonal().tolist() == [1, 1, 1, 1]
    assert weight.sum() == pytest.approx(1)
    assert (weight * in_sync).sum() == pytest.approx(0.5)
    assert weight[0, :, 4:].sum() == pytest.approx(0.5 * P.easy_negatives)
    assert weight[0, 0, 1] == 0  # one frame apart
    assert weight[0, 0, 2] > 0
    assert weight[0, 0, 3] == 0  # further than max_shift


@pytest.mark.parametrize("variant", lip_expert.VARIANTS)
def test_expert_learns_to_tell_sync(toy, tmp_path, variant) -> None:
    torch.manual_seed(0)
    train, val = toy.corpus("train"), toy.corpus("val")
    expert = lip_expert.network(variant, toy.face, train, P)
    assert expert.style_aware == (variant == "style_aware")
    curves = []
    expert = loop.train(
        expert,
        lip_expert.task(train, val, toy.face, P),
        LOOP,
        steps=P.steps,
        learning_rate=P.learning_rate,
        seed=0,
        work=tmp_path,
        log=lambda step, values: curves.append(values),
        label="lips",
    )
    assert curves[-1]["train/loss"] < 0.8 * curves[0]["train/loss"]
    probability, in_sync, _ = lip_expert_scores.judge(expert, toy.face, toy.corpus("test"), P, 512)
    assert lip_expert_scores.balanced_accuracy(probability, in_sync) > 0.65
    curve = lip_expert_scores.offset_curve(expert, toy.face, toy.corpus("test"), P, 64)
    assert abs(int(curve.argmax()) - lip_expert_scores.CURVE_SHIFT) <= 1
