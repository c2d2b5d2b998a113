"""The paper's claims as comparisons of two variants by a metric, and what the scores of clips say of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from stages.evaluation.report.layouts import METRICS
from stages.evaluation.report.statistics import paired_p

RESAMPLES = 2000
MARGIN = 0.05  # of the complete method's value: less is no loss

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

    Raises:
        KeyError: no clip has the metric by both variants.
    """
    metric = METRICS[claim.metric]
    sides = [_table(clips, name, claim.metric) * metric.scale for name in (claim.first, claim.second)]
    differences = (sides[0] - sides[1]).dropna(axis=1)
    values = differences.to_numpy()
    if not values.size:
        raise KeyError(f"evaluate {claim.first} and {claim.second} {claim.metric}")
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
