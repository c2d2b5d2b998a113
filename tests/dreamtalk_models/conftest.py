"""Fixtures of the networks' tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamtalk_models.denoiser import Denoiser
from tests.dreamtalk_models.helpers import SMALL


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Same weights each time; one thread, since several only wait for each other on networks this small."""
    threads = torch.get_num_threads()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_denoiser() -> Denoiser:
    return Denoiser(motion_dim=6, audio_dim=5, window=2, style_frames=12, lower=[0, 2], **SMALL).eval()


@pytest.fixture
def golden(shared: Path) -> Callable[[str], dict[str, Tensor]]:
    """Reads inputs, weights and outputs of a published network."""

    def read(name: str) -> dict[str, Tensor]:
        with np.load(shared / "golden" / name, allow_pickle=False) as file:
            return {key: torch.from_numpy(file[key]) for key in file.files}

    return read


@pytest.fixture
def golden_json(shared: Path) -> Callable[[str], dict]:
    return lambda name: json.loads((shared / "golden" / name).read_text(encoding="utf-8"))
