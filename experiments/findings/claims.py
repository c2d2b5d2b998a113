"""The paper's claims as comparisons of two variants by a metric, and what the scores of clips say of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from stages.evaluation.metrics.summary import LEVEL
from stages.evaluation.report.layouts import METRICS

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
        difference, low, high, p: first less second, its 95 % interval and its test, as of :func:`over_both`.
        by_seed: the difference of each seed.
    """

    claim: Claim
    means: tuple[float, float]
    difference: float
    low: float
    high: float
    p: float
    by_seed: tuple[float, ...]
    clips: int

    @property
    def verdict(self) -> Verdict:
        """What the numbers allow to say: "confirmed" and "contradicted" need an interval that leaves out zero, or, of
        a claim that nothing is lost, the loss that is allowed."""
        sign = 1 if METRICS[self.claim.metric].better == "higher" else -1
        worst, best = sorted((sign * self.low, sign * self.high))
        room = -MARGIN * abs(self.means[1]) if self.claim.equal else 0.0
        return "confirmed" if worst > room else "contradicted" if best < room else "not shown"


def compare(claim: Claim, clips: pd.DataFrame) -> Comparison:
    """Check a claim on the clips' scores, by the differences of the same clip and seed.

    Args:
        clips: variant, seed, clip_id and the metric; a row a generated clip.

    Raises:
        KeyError: no clip has the metric by both variants.
    """
    metric = METRICS[claim.metric]
    sides = [_table(clips, name, claim.metric) * metric.scale for name in (claim.first, claim.second)]
    differences = (sides[0] - sides[1]).dropna(axis=1)
    values = differences.to_numpy()
    if not values.size:
        raise KeyError(f"evaluate {claim.first} and {claim.second} {claim.metric}")
    low, high, p = over_both(values)
    return Comparison(
        claim,
        tuple(float(side[differences.columns].to_numpy().mean()) for side in sides),
        float(values.mean()),
        low,
        high,
        p,
        tuple(values.mean(1).tolist()),
        values.shape[1],
    )


def over_both(differences: np.ndarray) -> tuple[float, float, float]:
    """95 % interval of the mean of paired differences (seeds, clips), for other seeds and other clips, and the
    two-sided p that it is zero.

    Seeds and clips are crossed random effects: the variances of both means add up (what is left counts in both, which
    makes the interval a little wide), with Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946). A
    bootstrap would be too narrow: three seeds drawn again show less spread than seeds have. Of one seed nothing is
    known: nan.
    """
    if not differences.any():
        return 0.0, 0.0, 1.0
    if min(differences.shape) < 2:
        return np.nan, np.nan, np.nan
    parts = np.array([stats.sem(differences.mean(axis)) ** 2 for axis in (1, 0)])  # of seeds, of clips
    degrees = parts.sum() ** 2 / (parts**2 / (np.array(differences.shape) - 1)).sum()
    found = stats.t(degrees, differences.mean(), np.sqrt(parts.sum()))
    low, high = found.interval(LEVEL)
    return float(low), float(high), float(2 * min(found.cdf(0), found.sf(0)))


def _table(clips: pd.DataFrame, variant: str, metric: str) -> pd.DataFrame:
    """Scores with a row a seed and a column a clip."""
    return clips[clips["variant"] == variant].pivot(index="seed", columns="clip_id", values=metric)


def compared(clips: pd.DataFrame) -> pd.DataFrame:
    """The clips' scores that the claims are checked on, so that anybody can check them anew."""
    variants = {name for claim in CLAIMS for name in (claim.first, claim.second)}
    chosen = clips[clips["variant"].isin(variants)]
    return chosen[["variant", "seed", "clip_id", *dict.fromkeys(claim.metric for claim in CLAIMS)]]
