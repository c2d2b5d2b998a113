"""A study: a grid of parameters times seeds, its points one after another, and what the seeds agree on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from flows import workspace
from flows.graph import Stage, stage_graph, with_needs
from stages import params as parameters
from stages.evaluation.metrics.summary import student_interval
from stages.evaluation.report.layouts import LAYOUTS, METRICS
from stages.files import atomic_path
from stages.params import PARAMS_FILE, ParamsError

STUDIES = Path("reports/studies")
BEGAN_WITH = workspace.BACKUP / PARAMS_FILE.name  # as long as the study runs
NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
SEED = "training_seed"
SCORES, CLIPS = "per_clip.parquet", "clips.parquet"
GROUPS = {"profile", "corpus"}  # each sets many parameters


@dataclass(frozen=True)
class Point:
    """One set of parameters and one seed.

    Attributes:
        overrides: "denoiser.sync_weight=0.02", ...; empty for params.yaml as it stands.
    """

    overrides: tuple[str, ...]
    seed: int

    @property
    def setting(self) -> str:
        return ",".join(self.overrides) or "params.yaml"

    @property
    def label(self) -> str:
        return ",".join([*self.overrides, f"seed={self.seed}"])


def points(grid: list[str], seeds: list[int]) -> list[Point]:
    """All combinations of the grid, each with every seed.

    Args:
        grid: as after ``dvc exp run -S``: "denoiser.sync_weight=0,0.02,0.08" has three values.

    Raises:
        ParamsError: an override that is no parameter, or that params.yaml cannot hold; a parameter, a value or a
            seed twice; no seed, or seeds in the grid.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ParamsError("a study needs seeds, each once, as in [0, 1, 2]")
    named = [entry.partition("=")[0].lstrip("+~") for entry in grid]
    names = set(named)
    if len(names) < len(named):
        raise ParamsError("the grid names a parameter twice: give all its values at once, as in name=0,0.02")
    if SEED in names:
        raise ParamsError(f"each point sets {SEED} to its seeds: give them as seeds, not in the grid")
    if groups := GROUPS & names:
        raise ParamsError(f"{', '.join(sorted(groups))} sets many parameters: compose params.yaml first (README)")
    try:
        settings = get_hydra_sweeps({str(PARAMS_FILE): grid}) if grid else [{str(PARAMS_FILE): []}]
    except HydraException as error:
        raise ParamsError(f"the grid {grid} is not understood: {error}") from error
    found = [Point(tuple(setting[str(PARAMS_FILE)]), seed) for setting in settings for seed in seeds]
    if len(set(found)) < len(found):
        raise ParamsError(f"the grid {grid} has a value twice")
    return found


def targets(graph: dict[str, Stage], stages: list[str]) -> list[Stage]:
    """The stages whose numbers a study compares.

    Raises:
        ValueError: there is no such stage, or none of them has numbers.
    """
    with_needs(graph, stages)
    found = [stage for stage in graph.values() if {stage.name, stage.group} & set(stages)]
    if not any(stage.metrics for stage in found):
        able = dict.fromkeys(stage.group for stage in graph.values() if stage.metrics)
        raise ValueError(f"no numbers to compare in {', '.join(stages) or 'no stage'}; {', '.join(able)} have some")
    return found


def check(name: str, grid: list[str], seeds: list[int], stages: list[str]) -> None:
    """What can be known to be wrong with a study before anything is started.

    Raises:
        ValueError: says what it is.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"a study's name has small letters, digits and dashes only, not {name!r}")
    targets(stage_graph(), stages)
    for point in points(grid, seeds):
        composed(point, PARAMS_FILE)


def composed(point: Point, base: Path) -> bytes:
    """A params.yaml with the point's parameters, over those of `base`.

    Raises:
        ParamsError: there is no such parameter, or its value is impossible.
    """
    with TemporaryDirectory() as folder:
        draft = Path(folder) / PARAMS_FILE.name
        draft.write_bytes(base.read_bytes())
        added = [text if text[0] in "+~" else f"++{text}" for text in point.overrides]  # Params says what there is
        try:
            apply_overrides(draft, [*added, f"{SEED}={point.seed}"])
            parameters.load(draft)
        except (DvcException, OmegaConfBaseException) as error:
            raise ParamsError(f"{point.label}: {' '.join(str(error.__cause__ or error).split())}") from error
        except ParamsError as error:
            raise ParamsError(f"{point.label}: {str(error).removeprefix(f'{draft}: ')}") from error
        return draft.read_bytes()


def set_parameters(point: Point) -> None:
    """Write the point's parameters into params.yaml, over those that stood there before the study; raises as
    :func:`composed`."""
    workspace.set_parameters(composed(point, BEGAN_WITH))


def save_experiment(name: str) -> None:
    """Keep the workspace as DVC experiment `name` (``dvc exp show``, ``dvc exp apply``); replaces one of that name.

    Raises:
        RuntimeError: DVC refuses, as in a repository without a commit.
    """
    workspace.dvc("exp", "save", "--force", "--name", name)


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds, and the difference from what a row is an ablation of.

    Args:
        results: setting, seed, stage, variant ("" for none), metric, value.

    Returns:
        A row per setting, stage, variant and metric: seeds, mean, low, high (95 % interval by Student's t, for the
        mean over seeds); against (what it is compared with: the complete method of its table, or the same variant in
        the first setting), difference, difference_low, difference_high (paired by seed).
    """
    table = results.pivot_table(
        index=["setting", "stage", "variant", "metric"], columns="seed", values="value", sort=False
    )
    first = results["setting"].iloc[0]
    rows = []
    for (setting, stage, variant, metric), values in table.iterrows():
        reference = (setting, stage, full) if (full := _full(variant)) else (first, stage, variant)
        row = {"setting": setting, "stage": stage, "variant": variant, "metric": metric}
        row |= {"seeds": int(values.notna().sum()), **student_interval(values)}
        if (*reference, metric) in table.index and reference != (setting, stage, variant):
            against = student_interval(values - table.loc[(*reference, metric)])
            row["against"] = full or first
            row |= dict(zip(("difference", "difference_low", "difference_high"), against.values(), strict=True))
        rows.append(row)
    columns = [*rows[0], "against", "difference", "difference_low", "difference_high"]
    return pd.DataFrame(rows, columns=list(dict.fromkeys(columns)))


def worth_a_column(results: pd.DataFrame, wanted: list[str]) -> pd.Series:
    """Which rows the summary shows, of each stage: the metrics asked for, else those that compare methods, else all."""
    comparing = [metric.column for metric in METRICS.values() if metric.better]
    chosen = pd.Series(False, index=results.index)
    for names in (wanted, comparing, results["metric"].unique()):
        unseen = ~chosen.groupby(results["stage"]).transform("any")
        chosen |= unseen & results["metric"].isin(names)
    return chosen


def markdown(summary: pd.DataFrame) -> str:
    """A table per stage: rows are settings and variants, columns are metrics, "*" marks a difference from zero."""
    text = []
    for stage, part in summary.groupby("stage", sort=False):
        cells = {(row.setting, row.variant, row.metric): _cell(row) for row in part.itertuples()}
        metrics = list(dict.fromkeys(part["metric"]))
        rows = list(dict.fromkeys(zip(part["setting"], part["variant"], strict=True)))
        text += [
            f"### {stage}",
            "",
            "| setting | variant | " + " | ".join(metrics) + " |",
            "|---" * (len(metrics) + 2) + "|",
        ]
        text += [f"| {s} | {v} | " + " | ".join(cells.get((s, v, m), "") for m in metrics) + " |" for s, v in rows]
        text.append("")
    seeds = int(summary["seeds"].max())
    text.append(
        f"Mean and half of the 95 % interval over {seeds} seeds. * = the interval of the difference, paired by seed, "
        "from the complete method (or from the first setting) leaves out zero."
    )
    return "\n".join(text)


def scores_of_clips(stages: list[Stage]) -> list[pd.DataFrame]:
    """per_clip.parquet of each stage that scores clips, with the columns stage and variant."""
    return [
        pd.read_parquet(file).assign(stage=stage.group, variant=stage.name.partition("@")[2])
        for stage in stages
        for file in (Path(out) / SCORES for out in stage.outs)
        if file.is_file()
    ]


def write(name: str, began_with: str, results: pd.DataFrame, summary: pd.DataFrame, clips: list[pd.DataFrame]) -> Path:
    """Put the params.yaml that a study began with, its tables, and, if any, its clips' scores into
    reports/studies/<name>; returns that folder."""
    folder = STUDIES / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in (
        (PARAMS_FILE.name, began_with),
        ("results.csv", results.to_csv(index=False)),
        ("summary.csv", summary.to_csv(index=False)),
        ("summary.md", markdown(summary) + "\n"),
    ):
        with atomic_path(folder / file) as tmp:
            tmp.write_text(text, encoding="utf-8")
    (folder / CLIPS).unlink(missing_ok=True)  # of an earlier study of that name, with other stages
    if clips:
        with atomic_path(folder / CLIPS) as tmp:
            pd.concat(clips, ignore_index=True).to_parquet(tmp)
    return folder


def _full(variant: str) -> str | None:
    """The complete method that a variant takes something away from."""
    if any(variant == layout.full for layout in LAYOUTS):
        return None
    found = (layout.full for layout in LAYOUTS if variant in layout.rows and variant not in layout.reference)
    return next(found, None)


def _cell(row) -> str:
    half = "" if np.isnan(row.low) else f" ± {row.high - row.mean:.2g}"
    clear = not np.isnan(row.difference_low) and (row.difference_low > 0 or row.difference_high < 0)
    return f"{row.mean:.4g}{half}{' *' if clear else ''}"
