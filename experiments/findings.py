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
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import jinja2
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from flows.study import STUDIES
from stages import params as parameters
from stages.evaluation.metrics.summary import student_interval
from stages.evaluation.report.layouts import METRICS
from stages.evaluation.report.statistics import paired_p
from stages.files import atomic_path

CLAIMS_STUDY, COUPLING_STUDY = "claims", "coupling"
OUT = Path(__file__).parents[1] / "docs"
TEMPLATE = Path(__file__).with_name("findings.md.j2")
RESAMPLES = 2000
MARGIN = 0.05  # of the complete method's value: less is no loss
DRAWS = ("predicted", "predicted_mean")  # one answer of a style predictor, and the mean of sixteen
LOSS = 0.05  # of lip agreement: more, and a guidance scale has cost lip sync

Verdict = Literal["confirmed", "contradicted", "not shown"]


@dataclass(frozen=True)
class Claim:
    """That `first` is better than `second` by a metric; or, if `equal`, not worse by more than MARGIN."""

    number: str
    text: str
    metric: str
    first: str
    second: str
    equal: bool = False


CLAIMS = (
    Claim("IV.1", "Without the lip expert lip sync drops", "sync_conf_corpus", "full", "no_lip_expert"),
    Claim("IV.1", "… and the mouth moves away from the truth", "m_lmd", "full", "no_lip_expert"),
    Claim("IV.2", "… but expressions stay: the whole face is as near", "f_lmd", "no_lip_expert", "full", equal=True),
    Claim("IV.2", "… and the style is recognised as often", "sa", "no_lip_expert", "full", equal=True),
    Claim(
        "IV.3", "An unconditional lip expert raises lip sync", "sync_conf_corpus", "uncond_lip_expert", "no_lip_expert"
    ),
    Claim("IV.3", "… at the expense of the face", "f_lmd", "full", "uncond_lip_expert"),
    Claim("IV.3", "… and of the style", "sa", "full", "uncond_lip_expert"),
    Claim("V.1", "Speaker information improves the style code", "scd", "predicted_full", "predicted_no_speaker_info"),
    Claim("V.1", "… and the motion", "md", "predicted_full", "predicted_no_speaker_info"),
    Claim("V.2", "Cross-identity training improves the style code", "scd", "predicted_full", "predicted_no_cross_id"),
    Claim("V.2", "… and the motion", "md", "predicted_full", "predicted_no_cross_id"),
    Claim("V.3", "Diffusion predicts the code better than regression", "scd", "predicted_full", "predicted_regression"),
    Claim("V.3", "… and the motion", "md", "predicted_full", "predicted_regression"),
    Claim("beyond", "Diffusion makes better mouths than regression", "m_lmd", "full", "regression"),
    Claim("beyond", "… and faces", "f_lmd", "full", "regression"),
    Claim("beyond", "… and lip sync", "sync_conf_corpus", "full", "regression"),
    Claim("beyond", "… and style", "sa", "full", "regression"),
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """What the study says of a claim.

    Attributes:
        means: of both sides, in the metric's unit.
        difference, low, high: first less second, and its 95 % interval over clips and seeds.
        agree: seeds whose difference has the sign of the mean one.
        p: that both do equally well, over the clips, each the mean of its seeds.
    """

    claim: Claim
    means: tuple[float, float]
    difference: float
    low: float
    high: float
    agree: int
    seeds: int
    clips: int
    p: float | None

    @property
    def verdict(self) -> Verdict:
        """What the numbers allow to say.

        "Confirmed" and "contradicted" need an interval that leaves out zero and seeds that all agree.
        """
        sign = 1 if METRICS[self.claim.metric].better == "higher" else -1
        worst, best = sorted((sign * self.low, sign * self.high))
        if self.claim.equal:
            room = MARGIN * abs(self.means[1])
            return "confirmed" if worst > -room else "contradicted" if best < -room else "not shown"
        if self.agree < self.seeds:
            return "not shown"
        return "confirmed" if worst > 0 else "contradicted" if best < 0 else "not shown"


def compare(claim: Claim, clips: pd.DataFrame, seed: int = 0) -> Comparison:
    """Check a claim on the clips' scores.

    The interval is a bootstrap over seeds and clips at once, of the differences of the same clip and seed.

    Args:
        clips: variant, seed, clip_id and the metric; a row a generated clip.
        seed: of the bootstrap.
    """
    metric = METRICS[claim.metric]
    sides = [_table(clips, name, claim.metric) * metric.scale for name in (claim.first, claim.second)]
    differences = (sides[0] - sides[1]).dropna(axis=1)
    values = differences.to_numpy()
    rng = np.random.default_rng(seed)
    rows = rng.integers(len(values), size=(RESAMPLES, len(values)))
    columns = rng.integers(values.shape[1], size=(RESAMPLES, values.shape[1]))
    means = [values[np.ix_(*pair)].mean() for pair in zip(rows, columns, strict=True)]
    low, high = np.quantile(means, [0.025, 0.975])
    mean = float(values.mean())
    return Comparison(
        claim,
        tuple(float(side[differences.columns].to_numpy().mean()) for side in sides),
        mean,
        float(low),
        float(high),
        int((np.sign(values.mean(1)) == np.sign(mean)).sum()),
        *values.shape,
        paired_p(*(side[differences.columns].mean() for side in sides)),
    )


def _table(clips: pd.DataFrame, variant: str, metric: str) -> pd.DataFrame:
    """Scores with a row a seed and a column a clip."""
    return clips[clips["variant"] == variant].pivot(index="seed", columns="clip_id", values=metric)


def compared(clips: pd.DataFrame) -> pd.DataFrame:
    """The clips' scores that the claims are checked on, so that anybody can check them anew."""
    variants = {name for claim in CLAIMS for name in (claim.first, claim.second)}
    chosen = clips[clips["variant"].isin(variants)]
    return chosen[["variant", "seed", "clip_id", *dict.fromkeys(claim.metric for claim in CLAIMS)]]


def per_seed(
    results: pd.DataFrame, stage: str, metric: str, variant: str = "", setting: str | None = None
) -> pd.Series:
    """One number of each seed, indexed by seed. Raises KeyError where the study has none."""
    chosen = (results["stage"] == stage) & (results["metric"] == metric) & (results["variant"].fillna("") == variant)
    if setting is not None:
        chosen &= results["setting"] == setting
    if not chosen.any():
        raise KeyError(f"{stage} {variant} {metric}")
    return results[chosen].set_index("seed")["value"].sort_index()


def gap(results: pd.DataFrame, metric: str, worse: str, better: str, setting: str | None = None) -> dict[str, float]:
    """By how much one style predictor's code distance exceeds another's: mean and 95 % interval over seeds."""
    values = [per_seed(results, "train_style_predictor", metric, name, setting) for name in (worse, better)]
    return student_interval(values[0] - values[1]) | {
        "worse": values[0].mean(),
        "better": values[1].mean(),
        "seeds": len(values[0]),
    }


def change(results: pd.DataFrame, metric: str, worse: str, better: str, settings: Sequence[str]) -> dict[str, float]:
    """By how much a gap is larger under the first setting than under the last: mean and 95 % interval over seeds."""
    with_it, without = (
        per_seed(results, "train_style_predictor", metric, worse, setting)
        - per_seed(results, "train_style_predictor", metric, better, setting)
        for setting in (settings[0], settings[-1])
    )
    return student_interval(with_it - without)


def clusters(results: pd.DataFrame) -> dict[str, pd.Series]:
    """Figure 13 as numbers of each seed: purity and silhouette of style codes by speaker and by emotion."""
    names = [f"style_{kind}/{label}" for kind in ("purity", "silhouette") for label in ("speaker", "emotion")]
    return {name: per_seed(results, "report", name) for name in names}


def sweep(results: pd.DataFrame) -> pd.DataFrame:
    """Figure 14 as numbers: scale, seed, intensity (%), lips (correlation of the mouth's opening with the true one)."""
    part = results[results["stage"] == "report"].set_index("metric")
    scales = sorted(float(name.partition("@")[2]) for name in set(part.index) if name.startswith("intensity@"))
    rows = []
    for scale in scales:
        both = [per_seed(results, "report", f"{name}@{scale:g}") for name in ("intensity", "lip_agreement")]
        rows += [{"scale": scale, "seed": s, "intensity": both[0][s], "lips": both[1][s]} for s in both[0].index]
    return pd.DataFrame(rows)


def limits(found: pd.DataFrame) -> pd.Series:
    """Of each seed the largest scale up to which lip agreement stays within LOSS of that at ω = 1."""
    lips = found.pivot(index="scale", columns="seed", values="lips")
    kept = (lips >= lips.loc[1.0] - LOSS) | (lips.index.to_numpy()[:, None] < 1)
    return kept.cumprod().apply(lambda column: column[column == 1].index.max())


def forest(found: Sequence[Comparison]) -> Figure:
    """Each claim's difference with its interval, in parts of the second side's value; right of zero speaks for it."""
    figure = Figure(figsize=(9, 0.36 * len(found) + 1), layout="constrained")
    axes = figure.subplots()
    colours = {"confirmed": "tab:green", "contradicted": "tab:red", "not shown": "0.5"}
    for place, one in enumerate(found):
        unit = (1 if METRICS[one.claim.metric].better == "higher" else -1) * 100 / abs(one.means[1])
        ends = sorted((unit * one.low, unit * one.high))
        axes.plot(ends, [-place, -place], color=colours[one.verdict])
        axes.plot(unit * one.difference, -place, "o", color=colours[one.verdict])
    axes.axvline(0, color="0.3", linewidth=0.8)
    labels = [f"{one.claim.number} {one.claim.text} ({METRICS[one.claim.metric].label})" for one in found]
    axes.set_yticks([-place for place in range(len(found))], labels, fontsize=8)
    axes.set_xlabel("better by, % (bars: 95 % over clips and seeds)")
    return figure


def guidance_plot(found: pd.DataFrame) -> Figure:
    """Intensity and lip agreement over the guidance scale, a line a seed."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, (name, label) in zip(
        figure.subplots(1, 2), (("intensity", "intensity, %"), ("lips", "lip agreement")), strict=True
    ):
        for seed, part in found.groupby("seed"):
            axes.plot(part["scale"], part[name], ".-", label=f"seed {seed}")
        axes.set(xlabel="guidance scale ω", ylabel=label)
        axes.legend()
    return figure


def read(name: str) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """A study's numbers, and its clips' scores where it has any. Raises FileNotFoundError."""
    folder = STUDIES / name
    clips = folder / "clips.parquet"
    return pd.read_csv(folder / "results.csv"), pd.read_parquet(clips) if clips.is_file() else None


def main() -> int:
    try:
        settings = parameters.load()
        results, clips = read(CLAIMS_STUDY)
        coupling, _ = read(COUPLING_STUDY)
    except parameters.ParamsError as error:
        print(f"findings: {error}", file=sys.stderr)
        return 2
    except FileNotFoundError as error:
        print(f"findings: {error}; run the studies first (docstring of experiments/findings.py)", file=sys.stderr)
        return 2
    found = [compare(claim, clips) for claim in CLAIMS]
    guidance = sweep(results)
    distance = "test/code_distance"
    cross = {
        name: gap(results, f"{distance}/{name}", "no_cross_id", "full")
        for name in ("predicted", "own_portrait", "predicted_mean", "own_portrait_mean")
    }
    draws = {
        variant: [per_seed(results, "train_style_predictor", f"{distance}/{name}", variant).mean() for name in DRAWS]
        for variant in ("full", "no_speaker_info", "no_cross_id", "regression")
    }
    settings_of = list(dict.fromkeys(coupling["setting"]))
    speaker = {
        (name, by): gap(coupling, f"{distance}/{by}", "no_speaker_info", "full", name)
        for name in settings_of
        for by in DRAWS
    }
    page = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        found=found,
        metrics=METRICS,
        settings=settings,
        results=results,
        cross=cross,
        draws=draws,
        mean_code=per_seed(results, "train_style_predictor", f"{distance}/mean_code", "full").mean(),
        speaker=speaker,
        change={by: change(coupling, f"{distance}/{by}", "no_speaker_info", "full", settings_of) for by in DRAWS},
        clusters=clusters(results),
        guidance=guidance.groupby("scale").mean(),
        limits=limits(guidance),
        seeds=sorted(results["seed"].unique()),
        margin=100 * MARGIN,
        loss=LOSS,
    )
    folder = OUT / "findings"
    folder.mkdir(parents=True, exist_ok=True)
    for figure, name in ((forest(found), "claims.png"), (guidance_plot(guidance), "guidance.png")):
        with atomic_path(folder / name) as tmp:
            figure.savefig(tmp, dpi=90, format="png")
    table = pd.DataFrame([{**vars(one.claim), **vars(one), "verdict": one.verdict} for one in found])
    table = table.drop(columns="claim")
    for file, content in (
        (folder / "claims.csv", table.to_csv(index=False)),
        (folder / "clips.csv", compared(clips).to_csv(index=False, float_format="%.6g")),
        (folder / "guidance.csv", guidance.to_csv(index=False)),
        (folder / "coupling.csv", coupling.to_csv(index=False)),
        (OUT / "findings.md", text),
    ):
        with atomic_path(file) as tmp:
            tmp.write_text(content, encoding="utf-8")
    print(table[["number", "text", "metric", "difference", "low", "high", "verdict"]].to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
