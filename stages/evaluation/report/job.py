"""What every section of the page works from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.face_model import FaceModel
from stages import plots
from stages.evaluation.report.results import Absent, Results
from stages.evaluation.report.statistics import Estimate, estimate
from stages.params import Params
from stages.training.data import DataError


@dataclass(frozen=True)
class Job:
    """What every section works from, and the folder its figures go to."""

    results: Results
    params: Params
    folder: Path

    def draw(self, name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Path:
        return plots.save(lambda: function(*arguments, **options), self.folder, name)

    def estimate(self, values: pd.Series) -> Estimate | None:
        """Mean over clips with its interval."""
        return estimate(values, self.params.evaluate.bootstrap, self.params.seed)

    def face_model(self) -> FaceModel:
        return FaceModel.load(self.results.root / "models/face_model/face_model.npz")

    def denoiser(self) -> Denoiser:
        return checkpoints.load(self.results.root / "models/denoiser/full/weights.safetensors", Denoiser)


def attempt(section: Callable[[Job], Any], job: Job) -> Any:
    """What the section returns, or an Absent that says which file it lacked."""
    try:
        return section(job)
    except (FileNotFoundError, DataError) as error:
        return Absent(f"Not in this run: {error}")


def style_name(emotion: object, level: object) -> str:
    """A style as a reader says it: "angry 3"."""
    if pd.isna(emotion):
        return "unknown style"
    return str(emotion) if pd.isna(level) or emotion == "neutral" else f"{emotion} {int(level)}"
