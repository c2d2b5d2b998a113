"""Whether the judges can be trusted: what must come out whatever the networks have learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd

from stages.evaluation.report.claims import Finding, compare
from stages.evaluation.report.layouts import METRICS
from stages.evaluation.variants import VARIANTS, Variant

GROUP = "Can the judges be trusted?"
SA_OF_TRUTH = 0.85  # the least that makes SA worth reading; the paper's classifier reaches 92.5 %
AUC_LEAST = 0.9  # of the identity judge, on clips that it has not learned from; 0.5 is chance
EXACT = 1e-6
STILL = "mean_motion"
OFFSETS = ("sync_offset", "sync_offset_corpus")
SYNC = ("sync_conf", "sync_conf_corpus")


def check(per_clip: Mapping[str, pd.DataFrame], metrics: Mapping[str, Mapping[str, float]]) -> list[Finding]:
    """All findings that this run's ground truth, variants whose place is known, and judges on held-out clips allow.

    Args:
        metrics: the final numbers of the training stages, by stage.
    """
    truth = per_clip.get("ground_truth")
    found = [] if truth is None else [*_against_itself(truth), *_truth(truth), *_order(per_clip)]
    return [*found, *_identity(metrics.get("identity_judge", {}))]


def _against_itself(truth: pd.DataFrame) -> Iterator[Finding]:
    if {"ssim", "f_lmd", "m_lmd"} <= set(truth):
        gap, distance = float((1 - truth["ssim"]).max()), float(truth[["f_lmd", "m_lmd"]].max().max())
        verdict = "holds" if gap < EXACT and distance == 0 else "does not hold"
        numbers = (f"{1 - gap:.4f}; {distance:.2f} px", "1; 0 px")
        yield Finding(GROUP, "The truth against itself is perfect", verdict, "SSIM; LMD, worst clip", numbers)


def _truth(truth: pd.DataFrame) -> Iterator[Finding]:
    if "sa" in truth and truth["sa"].notna().any():
        found = truth["sa"].mean()
        verdict = "holds" if found >= SA_OF_TRUTH else "does not hold"
        numbers = (f"{100 * found:.1f}", f"at least {100 * SA_OF_TRUTH:.0f}")
        yield Finding(GROUP, "The style classifier recognises the true clips' styles", verdict, "SA, %", numbers)
    for name in OFFSETS:
        if name in truth and truth[name].notna().any():
            within = float((truth[name].dropna().abs() <= 1).mean())
            verdict = "holds" if within > 0.5 else "does not hold"
            text = "The sync judge finds the true sound where it is"
            yield Finding(GROUP, text, verdict, "clips within a frame, %", (f"{100 * within:.0f}", "more than 50"))
            return


def _identity(found: Mapping[str, float]) -> Iterator[Finding]:
    auc = found.get("held_out/auc")
    if auc is None:
        return
    text = (
        "Another speaker lowers the likeness that the identity judge sees: of two clips, one of the same speaker and "
        f"one of another, it knows which is which in {100 * auc:.1f} % of cases"
    )
    numbers = (f"{found['held_out/same_speaker']:.2f}", f"{found['held_out/other_speaker']:.2f}")
    yield Finding(GROUP, text, "holds" if auc >= AUC_LEAST else "does not hold", "likeness\u00a0↑", numbers)


def _order(per_clip: Mapping[str, pd.DataFrame]) -> Iterator[Finding]:
    # a mouth in the wrong style, or badly drawn, may well be worse than a still one: that is no fault of the judge
    alike = [name for name in per_clip if name not in VARIANTS or _true_style(VARIANTS[name])]
    means = {name: per_clip[name]["m_lmd"].mean() for name in alike if "m_lmd" in per_clip[name]}
    if STILL in means and len(means) > 1:
        worst = max((name for name in means if name != STILL), key=means.__getitem__)
        verdict = "holds" if means[STILL] > means[worst] else "does not hold"
        numbers = (f"{means[STILL]:.2f}", f"{means[worst]:.2f}")
        text = f"Of videos in the true style a still face has the worst mouth; next is “{worst.replace('_', ' ')}”"
        yield Finding(GROUP, text, verdict, "M-LMD\u00a0↓", numbers)
    for name in SYNC:
        pair = [per_clip.get(variant, pd.DataFrame()) for variant in ("ground_truth", STILL)]
        if all(name in frame and frame[name].notna().any() for frame in pair):
            metric = METRICS[name]
            values = (frame[name] for frame in pair)
            text = "The sync judge prefers the truth to a still face"
            yield compare(GROUP, text, metric.label, *values, better="higher", digits=metric.digits)
            return


def _true_style(variant: Variant) -> bool:
    return variant.style == "own" and not (variant.renderer or variant.predictor)
