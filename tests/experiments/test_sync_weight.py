"""The sweep over λ: its measures, its rule, and that the parameters follow it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from dreamtalk_models.lip_expert import LipExpert
from experiments import sync_weight
from tests.stages.evaluation import talking

SIZES = talking.SIZES | {"embedding": 8, "style_frames": 16}


def cells(*rows: tuple[float, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["sync_weight", "sync", "m_lmd", "f_lmd"])


def test_the_best_sync_is_chosen_that_costs_no_expressiveness() -> None:
    found = cells((0, 0.60, 2.0, 3.0), (0.02, 0.70, 2.01, 3.0), (0.1, 0.80, 2.0, 3.2), (1, 0.90, 2.5, 3.0))
    assert sync_weight.choose(found) == 0.02


def test_seeds_count_by_their_mean() -> None:
    found = cells((0, 0.70, 2.0, 3.0), (0, 0.50, 2.0, 3.0), (0.1, 0.65, 1.8, 3.0), (0.1, 0.66, 2.2, 3.0))
    assert sync_weight.choose(found) == 0.1


def test_parameters_follow_the_sweep(root: Path) -> None:
    table = pd.read_csv(root / "experiments" / "sync_weight.csv", dtype={"sync_weight": str})
    assert set(sync_weight.COLUMNS) < set(table)
    found = table[table["sync_weight"] != "truth"].astype({"sync_weight": float})
    assert set(found["sync_weight"]) == set(sync_weight.WEIGHTS_TRIED)
    assert set(found["seed"]) == set(sync_weight.SEEDS)
    base = yaml.safe_load((root / "conf" / "base.yaml").read_text())
    assert sync_weight.choose(found) == base["denoiser"]["sync_weight"]


def test_true_motion_is_as_close_as_can_be_and_a_still_mouth_is_not() -> None:
    face = talking.face_model(talking.face()[1])
    truth = np.random.default_rng(0).normal(0, 0.5, (12, talking.DIMS)).astype(np.float32)
    identity = np.zeros(talking.IDENTITY, np.float32)
    same = sync_weight.closeness(face, identity, truth, truth)
    assert same == pytest.approx({"opening": 1.0, "m_lmd": 0.0, "f_lmd": 0.0, "variation": 1.0}, abs=1e-5)
    half = sync_weight.closeness(face, identity, truth, 0.5 * truth)
    assert half["opening"] > 0.9
    assert half["m_lmd"] > 0.1
    assert half["variation"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("style_aware", [True, False])
def test_every_window_is_judged_with_its_own_sound(style_aware: bool) -> None:
    torch.manual_seed(0)
    face = talking.face_model(talking.face()[1])
    lips = face.mouth_vertices(torch.zeros(talking.DIMS)).numel()
    expert = LipExpert(
        lip_dim=lips, audio_dim=5, motion_dim=talking.DIMS, clip_frames=4, style_aware=style_aware, **SIZES
    ).eval()
    rng = np.random.default_rng(0)
    motion, sound = rng.normal(size=(7, talking.DIMS)), rng.normal(size=(14, 5))
    style = rng.normal(size=(6, talking.DIMS))
    coefficients, heard, reference = (torch.as_tensor(x, dtype=torch.float32) for x in (motion, sound, style))
    shapes = face.mouth_vertices(coefficients)[None]
    one_by_one = [
        expert.probability(expert(shapes[:, i : i + 4], heard[None, 2 * i : 2 * i + 8], reference[None])).item()
        for i in range(4)
    ]
    assert sync_weight.sync(expert, face, motion, sound, style) == pytest.approx(np.mean(one_by_one), abs=1e-5)
