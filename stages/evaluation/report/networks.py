"""The networks of a run: their size, their training, and what the lip expert has learned."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import safe_open

from dreamtalk_models import checkpoints
from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.lip_expert import LipExpert
from stages import params
from stages.training import data
from stages.training.lip_expert import VARIANTS
from stages.training.lip_expert_scores import CURVE_SHIFT, offset_curve


def sizes(models: Path, histories: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a network: parameters, size of its file in MB, training steps, least validation loss."""
    rows = []
    for path in sorted(models.rglob("*.safetensors")):
        network = path.parent.relative_to(models).as_posix()
        history = histories.get(network, pd.DataFrame({"step": [], "metric": [], "value": []}))
        validation = history.loc[history["metric"] == "val/loss", "value"]
        rows.append(
            {
                "network": network,
                "parameters": _parameters(path),
                "MB": path.stat().st_size / 2**20,
                "steps": int(history["step"].max()) if len(history) else None,
                "least val/loss": validation.min() if len(validation) else None,
            }
        )
    return pd.DataFrame(rows)


def lip_expert_numbers(metrics: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """A row a lip expert and speakers: balanced accuracy in percent, of all pairs, hard and easy ones."""
    rows = []
    for variant in VARIANTS:
        found = metrics.get(f"lip_expert/{variant}", {})
        for split in ("val", "test"):
            values = [found.get(f"{split}/balanced_accuracy{kind}") for kind in ("", "_hard", "_easy")]
            if values[0] is not None:
                shown = [None if value is None else 100 * value for value in values]
                names = ("all pairs, %", "same clip, shifted, %", "other clip, %", "most likely offset, frames")
                row = dict(zip(names, [*shown, found.get(f"{split}/best_offset")], strict=True))
                rows.append({"lip expert": variant.replace("_", "-"), "speakers": split, **row})
    return pd.DataFrame(rows)


def offset_curves(
    models: Path, face: FaceModel, corpus: data.Corpus, p: params.LipExpert
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean probability of sync over the sound's offset in frames, for each lip expert that was trained."""
    offsets = np.arange(-CURVE_SHIFT, CURVE_SHIFT + 1)
    curves = {}
    for variant in VARIANTS:
        path = models / "lip_expert" / variant / "weights.safetensors"
        if path.exists():
            curves[variant.replace("_", "-")] = (
                offsets,
                offset_curve(checkpoints.load(path, LipExpert), face, corpus, p),
            )
    return curves


def _parameters(path: Path) -> int:
    with safe_open(path, framework="np") as file:
        return sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118
