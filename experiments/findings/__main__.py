"""Do the paper's claims hold? From the studies' tables to docs/findings.md, verdicts and all.

On the study corpus two studies are run, and then this::

    dvc exp run -S profile=study fit audio
    dreamtalk ablate claims --stage evaluate --stage train_style_predictor --stage report
    dreamtalk ablate coupling -S ingest.demo.foretold=0.85,0 \\
        --stage train_style_predictor@full --stage train_style_predictor@no_speaker_info
    python -m experiments.findings

Every sentence that says whether a claim holds is chosen by the numbers beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from experiments.findings.claims import CLAIMS, MARGIN, Comparison, compare, compared
from experiments.findings.figures import forest, guidance_plot
from experiments.findings.measures import LOSS, change, clusters, gap, limits, per_seed, sweep, towards
from flows.study import STUDIES
from stages.evaluation.report.layouts import METRICS
from stages.files import atomic_path
from stages.params import PARAMS_FILE, Params, ParamsError, parse

CLAIMS_STUDY, COUPLING_STUDY = "claims", "coupling"
OUT = Path(__file__).parents[2] / "docs"
TEMPLATE = Path(__file__).with_name("findings.md.j2")
DRAWS = ("predicted", "predicted_mean")  # one answer of a style predictor, and the mean of sixteen
DISTANCE = "test/code_distance"  # of a style predictor's codes


def began_with(name: str) -> Params:
    """The parameters that a study began with, whatever params.yaml holds by now.

    Raises:
        FileNotFoundError: there is no such study, or it is of before studies kept them.
        ParamsError: they are none of this version.
    """
    path = STUDIES / name / PARAMS_FILE.name
    return parse(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))


def code_distances(results: pd.DataFrame, coupling: pd.DataFrame) -> dict[str, Any]:
    """All that the page says of style predictors, by the names that its template uses."""
    settings = sorted(coupling["setting"].unique(), key=lambda setting: -float(setting.rpartition("=")[2]))
    portraits = ("predicted", "own_portrait", "predicted_mean", "own_portrait_mean")
    variants = ("full", "no_speaker_info", "no_cross_id", "regression")

    def mean(of: str, variant: str) -> float:
        return per_seed(results, "train_style_predictor", f"{DISTANCE}/{of}", variant).mean()

    return {
        "cross": {name: gap(results, f"{DISTANCE}/{name}", "no_cross_id", "full") for name in portraits},
        "draws": {variant: [mean(name, variant) for name in DRAWS] for variant in variants},
        "mean_code": mean("mean_code", "full"),
        "speaker": {
            (setting, by): gap(coupling, f"{DISTANCE}/{by}", "no_speaker_info", "full", setting)
            for setting in settings
            for by in DRAWS
        },
        "change": {by: change(coupling, f"{DISTANCE}/{by}", "no_speaker_info", "full", settings) for by in DRAWS},
    }


def write(
    found: Sequence[Comparison],
    clips: pd.DataFrame,
    guidance: pd.DataFrame,
    results: pd.DataFrame,
    coupling: pd.DataFrame,
) -> None:
    """The page's pictures, and its tables as files."""
    folder = OUT / "findings"
    folder.mkdir(parents=True, exist_ok=True)
    for figure, name in ((forest(found), "claims.png"), (guidance_plot(guidance), "guidance.png")):
        with atomic_path(folder / name) as tmp:
            figure.savefig(tmp, dpi=90, format="png")
    tables = {
        "claims": table(found),
        "clips": compared(clips).round(6),
        "guidance": guidance,
        "numbers": results[results["metric"].str.startswith((DISTANCE, "style_"))],
        "coupling": coupling,
    }
    for name, content in tables.items():
        with atomic_path(folder / f"{name}.csv") as tmp:
            content.to_csv(tmp, index=False)


def table(found: Sequence[Comparison]) -> pd.DataFrame:
    """A row a claim, with its numbers and verdict."""
    rows = [{**vars(one.claim), **vars(one), "verdict": one.verdict} for one in found]
    seeds = [" ".join(f"{value:.6g}" for value in one.by_seed) for one in found]
    return pd.DataFrame(rows).drop(columns="claim").assign(by_seed=seeds)


def main() -> int:
    try:
        settings = began_with(CLAIMS_STUDY)
        results, coupling = (pd.read_csv(STUDIES / name / "results.csv") for name in (CLAIMS_STUDY, COUPLING_STUDY))
        clips = pd.read_parquet(STUDIES / CLAIMS_STUDY / "clips.parquet")
        found = [compare(claim, clips) for claim in CLAIMS]
        guidance = sweep(results)
        numbers = {"clusters": clusters(results), "limits": limits(guidance), "towards": towards(guidance)}
        numbers |= code_distances(results, coupling)
    except ParamsError as error:
        print(f"findings: {error}", file=sys.stderr)
        return 2
    except (FileNotFoundError, KeyError) as error:
        lacking = f"the studies lack {error.args[0]}" if isinstance(error, KeyError) else error
        print(f"findings: {lacking}; run the studies first (README says how)", file=sys.stderr)
        return 2
    page = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        found=found,
        metrics=METRICS,
        settings=settings,
        results=results,
        guidance=guidance.groupby("scale").mean(),
        seeds=sorted(results["seed"].unique()),
        coupling_seeds=sorted(coupling["seed"].unique()),
        margin=100 * MARGIN,
        loss=LOSS,
        **numbers,
    )
    write(found, clips, guidance, results, coupling)
    with atomic_path(OUT / "findings.md") as tmp:
        tmp.write_text(text, encoding="utf-8")
    shown = ["number", "text", "metric", "difference", "low", "high", "verdict"]
    print(table(found)[shown].to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
