"""The manifest of other authors' systems: where each is, what it takes, and what the paper reports of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

MANIFEST = Path(__file__).with_name("systems.yaml")
INPUTS = ("portrait", "audio", "pose", "pose_mat", "reference", "reference_mat", "emotion")
"""What a test list offers: columns of its list.csv."""


@dataclass(frozen=True)
class System:
    """One system, as systems.yaml describes it.

    Attributes:
        repository: None where no public code is known.
        control: what its expression follows beside the sound; "audio": nothing else.
        inputs: of :data:`INPUTS`, what it takes of a test clip.
        run: its published command for one clip, with {columns} of a test list; None where there is no code.
        checked: the source of repository, licence and command.
    """

    name: str
    paper: str
    repository: str | None
    licence: str
    control: Literal["audio", "label", "video"]
    inputs: tuple[str, ...]
    run: str | None
    notes: str
    checked: str

    @property
    def emotional(self) -> bool:
        """Whether a style can be asked of it, so that its style can be judged (table VI)."""
        return self.control != "audio"


@cache
def systems() -> tuple[System, ...]:
    """All systems of the manifest, in the paper's order."""
    rows = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    return tuple(System(**{**row, "inputs": tuple(row["inputs"])}) for row in rows)
