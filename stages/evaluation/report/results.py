"""What the stages before left behind, read once; whatever is missing is an :class:`Absent` with its reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from stages import tables
from stages.columns import Columns
from stages.corpus.media import Clips
from stages.evaluation.compare import videos
from stages.evaluation.rating import analysis, choices
from stages.evaluation.report.layouts import REAL
from stages.evaluation.systems.manifest import systems

NOBODY_ASKED = (
    "Nobody was asked in this run. “dreamtalk rating-page” makes the page that asks; its key (*.key.json) and "
    "the participants' files in data/ratings/ make this section."
)
NOBODY_PREFERRED = (
    "Nobody was asked which style they prefer. “dreamtalk preference-page” makes the page that asks; its key "
    "(*.pairs.json) and the participants' files in data/ratings/ make this section."
)


@dataclass(frozen=True)
class Absent:
    """Something that the page cannot show, and why, as a plain sentence."""

    reason: str


class Results:
    """A run's files below `root`, in the places that dvc.yaml gives them."""

    def __init__(self, root: Path = Path()) -> None:
        self.root = root

    @cached_property
    def clips(self) -> Clips:
        """The corpus. Raises FileNotFoundError if there is none: without it there is nothing to report."""
        return Clips(self.root / "data/clips")

    @cached_property
    def quarantine(self) -> pd.DataFrame:
        """Rejected items (tables.QUARANTINE), empty where none was."""
        path = self.root / "data/clips/quarantine.parquet"
        return tables.read(path) if path.exists() else tables.from_rows([], tables.QUARANTINE)

    @cached_property
    def split(self) -> pd.DataFrame:
        """tables.SPLIT, by clip_id. Raises FileNotFoundError if there is none."""
        return tables.read(self.root / "data/split.parquet").set_index("clip_id", drop=False).rename_axis(None)

    @cached_property
    def motion(self) -> Columns:
        """The fitted motion of every clip. Raises FileNotFoundError if there is none."""
        return Columns(self.root / "data/motion")

    @cached_property
    def fits(self) -> pd.DataFrame:
        """How good each clip's fit is (data/motion/motion.parquet). Raises FileNotFoundError if there are none."""
        return tables.read(self.root / "data/motion/motion.parquet")

    @cached_property
    def audio(self) -> Columns:
        """The acoustic features of every clip. Raises FileNotFoundError if there are none."""
        return Columns(self.root / "data/audio")

    @cached_property
    def per_clip(self) -> dict[str, pd.DataFrame]:
        """Each evaluated variant's metrics, a row per test clip, indexed by clip_id."""
        paths = sorted((self.root / "evaluation").glob("*/per_clip.parquet"))
        return {path.parent.name: pd.read_parquet(path).set_index("clip_id").sort_index() for path in paths}

    @cached_property
    def methods(self) -> dict[str, pd.DataFrame]:
        """Other authors' methods as :attr:`per_clip`, by name; empty where no videos were given."""
        paths = sorted((self.root / "evaluation/methods").glob("*/per_clip.parquet"))
        return {path.parent.name: pd.read_parquet(path).set_index("clip_id").sort_index() for path in paths}

    @cached_property
    def method_videos(self) -> dict[str, dict[str, Path]]:
        """The videos of :attr:`methods`, by method and clip_id."""
        folder = self.root / "data/methods"
        return {name: videos(folder / name) for name in self.methods if (folder / name).is_dir()}

    @cached_property
    def rating(self) -> analysis.Results | Absent:
        """What ratings found: their key, *.key.json, and the participants' ratings-*.json in data/ratings/."""
        keys, files = self._answers("*.key.json", "ratings-*.json")
        if not files:
            return Absent(NOBODY_ASKED)
        if len(keys) != 1:
            return Absent(f"data/ratings/ must hold one key of a rating page, *.key.json; it holds {len(keys)}.")
        silent = [system.name for system in systems() if not system.emotional]
        try:
            return analysis.analyse(keys[0], files, without_style=[*silent, *REAL])
        except ValueError as error:
            return Absent(f"What lies in data/ratings/ cannot be used: {error}.")

    @cached_property
    def preference(self) -> choices.Preference | Absent:
        """What a preference test found: its key, *.pairs.json, and the choices-*.json in data/ratings/."""
        keys, files = self._answers("*.pairs.json", "choices-*.json")
        if not files:
            return Absent(NOBODY_PREFERRED)
        if len(keys) != 1:
            return Absent(f"data/ratings/ must hold one key of a preference page, *.pairs.json; it holds {len(keys)}.")
        try:
            return choices.analyse(keys[0], files)
        except ValueError as error:
            return Absent(f"What lies in data/ratings/ cannot be used: {error}.")

    def _answers(self, key: str, answers: str) -> tuple[list[Path], list[Path]]:
        """What data/ratings/ holds: keys, and participants' files; a page may be called “ratings-1”, and so its key."""
        folder = self.root / "data/ratings"
        keys = sorted(folder.glob(key))
        return keys, [path for path in sorted(folder.glob(answers)) if path not in keys]

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Why a metric was not measured, as the evaluation said it."""
        paths = sorted((self.root / "evaluation").glob("*/absent.json"))
        return {metric: reason for path in paths for metric, reason in _json(path).items()}

    @cached_property
    def metrics(self) -> dict[str, dict[str, float]]:
        """The final numbers of the other stages: "lip_expert/style_aware" → metrics/lip_expert/style_aware.json."""
        folder = self.root / "metrics"
        return {p.relative_to(folder).with_suffix("").as_posix(): _json(p) for p in sorted(folder.rglob("*.json"))}

    @cached_property
    def histories(self) -> dict[str, pd.DataFrame]:
        """Training curves (step, metric, value) by network: "denoiser/full" → models/denoiser/full."""
        folder = self.root / "models"
        paths = sorted(folder.rglob("history.parquet"))
        return {path.parent.relative_to(folder).as_posix(): pd.read_parquet(path) for path in paths}

    def videos(self, variant: str) -> dict[str, Path]:
        """A variant's generated videos by clip_id."""
        return {path.stem: path for path in sorted((self.root / "generated" / variant / "videos").glob("*.mp4"))}


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
