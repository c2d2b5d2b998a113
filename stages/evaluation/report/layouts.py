"""What the paper's tables hold: their columns, and the variants of this run that stand in their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """A column: its name in per_clip.parquet and published.yaml, and how it is shown.

    Attributes:
        better: which end is better; None where the number only says how to read another.
        scale: what a value is multiplied by to be shown in `unit`.
    """

    column: str
    label: str
    better: Literal["higher", "lower"] | None
    digits: int
    unit: str = ""
    scale: float = 1.0


METRICS = {
    metric.column: metric
    for metric in (
        Metric("ssim", "SSIM", "higher", 3),
        Metric("cpbd", "CPBD", "higher", 3),
        Metric("f_lmd", "F-LMD", "lower", 2, "px"),
        Metric("m_lmd", "M-LMD", "lower", 2, "px"),
        Metric("sync_conf", "Sync", "higher", 2),
        Metric("sync_conf_corpus", "Sync, corpus judge", "higher", 2),
        Metric("sa", "SA", "higher", 1, "%", 100.0),
        Metric("csim", "CSIM", "higher", 3),
        Metric("id_sim_corpus", "Identity, corpus judge", "higher", 3),
        Metric("scd", "SCD", "lower", 3),
        Metric("scd_shuffled", "SCD to a wrong clip", None, 3),
        Metric("md", "MD", "lower", 3),
        Metric("md_shuffled", "MD to a wrong clip", None, 3),
        Metric("mouth_opening_corr", "mouth opening", "higher", 3),
        Metric("lve", "LVE", "lower", 2, "‱", 1e4),
        Metric("intensity", "intensity", None, 3),
        Metric("sync_dist_corpus", "sync distance, corpus judge", "lower", 2),
        Metric("sync_offset_corpus", "sync offset, corpus judge", None, 1, "frames"),
        Metric("sync_dist", "sync distance", "lower", 2),
        Metric("sync_offset", "sync offset", None, 1, "frames"),
        Metric("face_rate", "face found", None, 1, "%", 100.0),
        Metric("m_lmd_sum", "M-LMD, summed", "lower", 1, "px"),
        Metric("lpips", "LPIPS", "lower", 3),
        Metric("lip_sync", "lip sync", "higher", 2),
        Metric("realness", "realness", "higher", 2),
        Metric("style", "style", "higher", 2),
    )
}


@dataclass(frozen=True)
class Layout:
    """What a table of the paper holds.

    Attributes:
        rows: our variants and their labels, in order.
        reference: rows that are not methods and compete for no best value.
        full: the row that the others are tested against.
        note: what a reader must know to read it.
        counted: what a row's scores are of.
        for_systems: other authors' methods stand in it, where their videos were given.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, str]
    full: str
    note: str
    reference: frozenset[str] = frozenset({"ground_truth", "truth"})
    counted: str = "clips"
    for_systems: bool = False


SYSTEM, RATED = "methods/", "rating/"  # before a method's name, where variants of ours have theirs alone
MOTION = {"sa", "md", "lve", "intensity"}  # measured on motion, which is fitted where only a video is there
_FITTED = (
    " SA, LVE and intensity of other authors' methods are measured on coefficients fitted to their videos, "
    "those of ours on the motion before it was drawn: they are not compared."
)


def with_systems(layout: Layout, names: Sequence[str]) -> Layout:
    """The layout with a row for each of other authors' methods, before its references."""
    if not (layout.for_systems and names):
        return layout
    rows = {f"{SYSTEM}{name}": name for name in names}
    own = {name: label for name, label in layout.rows.items() if name not in layout.reference}
    last = {name: label for name, label in layout.rows.items() if name in layout.reference}
    return replace(layout, rows=own | rows | last, note=layout.note + _FITTED * bool(MOTION & set(layout.columns)))


def tables(systems: Sequence[str], rated: Sequence[str]) -> list[Layout]:
    """All tables of a report, with other authors' methods and what participants rated."""
    shown = [with_systems(layout, systems) for layout in LAYOUTS]
    after = [layout.name for layout in shown].index("table_5") + 1
    return [*shown[:after], rating_table(rated), *shown[after:]]


def rating_table(names: Sequence[str]) -> Layout:
    """Table VI, for the methods that participants rated."""
    return Layout(
        "table_6",
        "Table VI. User study",
        ("lip_sync", "realness", "style"),
        {f"{RATED}{name}": name for name in names},
        f"{RATED}full",
        "Ratings from 1 to 5, 5 is best; the mean over participants of each one's mean. The paper does not say what "
        "stands behind its ±.",
        frozenset(f"{RATED}{name}" for name in REAL),
        "participants",
    )


REAL = ("truth", "ground_truth")  # what a rating page may call the real videos


_MAIN_ROWS = {
    "full": "Full",
    "full_pirenderer": "Full, PIRenderer",
    "mean_motion": "floor: mean motion",
    "other_audio": "floor: sound of another clip",
    "truth": "true motion, rendered",
    "ground_truth": "ground truth",
}
_ALL_ROWS = {
    **_MAIN_ROWS,
    "no_lip_expert": "w/o lip expert",
    "uncond_lip_expert": "uncond lip expert",
    "regression": "regression instead of diffusion",
    "predicted_full": "Predicted style",
}
LAYOUTS = (
    Layout(
        "table_1",
        "Table I. Main results",
        ("ssim", "cpbd", "f_lmd", "m_lmd", "sync_conf", "sync_conf_corpus", "sa"),
        _MAIN_ROWS,
        "full",
        "The two floors know nothing of the clip's own speech: a method that does not beat them has learned nothing. "
        "“True motion, rendered” is the renderer's own error.",
        for_systems=True,
    ),
    Layout(
        "table_2",
        "Table II. Identity preservation",
        ("csim", "id_sim_corpus"),
        {
            "stranger_style": "Full, style of another speaker",
            "full": "Full, own style",
            **{name: _MAIN_ROWS[name] for name in ("full_pirenderer", "truth", "ground_truth")},
        },
        "stranger_style",
        "Cosine similarity of face embeddings of the portrait and of every frame: CSIM by ArcFace; the corpus judge, "
        "fitted to this corpus’ own faces, has a scale of its own and, since it shrinks them, no eye for blur. As in "
        "the paper the style reference shows another person; “own style” takes it from the clip itself, and so do "
        "PIRenderer’s clips.",
        for_systems=True,
    ),
    Layout(
        "table_3",
        "Table III. Generation from sound alone",
        ("f_lmd", "m_lmd", "sa"),
        {"predicted_full": "Predicted style", "ground_truth": "ground truth"},
        "predicted_full",
        "The style is predicted from the voice and from a portrait taken from another clip of the speaker.",
        for_systems=True,
    ),
    Layout(
        "table_4",
        "Table IV. Ablation of the lip expert",
        ("ssim", "f_lmd", "m_lmd", "sync_conf", "sync_conf_corpus"),
        {"no_lip_expert": "w/o lip expert", "uncond_lip_expert": "uncond lip expert", "full": "Full"},
        "full",
        "",
    ),
    Layout(
        "table_5",
        "Table V. Ablation of the style predictor",
        ("scd", "scd_shuffled", "md", "md_shuffled", "sa"),
        {
            "predicted_no_speaker_info": "w/o speaker info",
            "predicted_no_cross_id": "w/o cross-ID training",
            "predicted_regression": "regression",
            "predicted_full": "Full",
        },
        "predicted_full",
        "SCD and MD have the scale of this run's own style codes and expression basis: compare them down the column "
        "and with the distance to a wrong clip beside them, not with the published ones.",
    ),
    Layout(
        "generators",
        "Diffusion and regression. Not in the paper",
        ("f_lmd", "m_lmd", "mouth_opening_corr", "sync_conf", "sync_conf_corpus", "sa", "lve", "intensity"),
        {"regression": "regression", "full": "Full"},
        "full",
        "The same encoders, decoders, lip expert, data and training; the regression has no noise and answers at once.",
    ),
    Layout(
        "further",
        "Further measures. Not in the paper",
        ("lpips", "m_lmd_sum", "mouth_opening_corr", "lve", "intensity"),
        _ALL_ROWS,
        "full",
        "LPIPS: perceptual distance of the pictures. M-LMD, summed: over the 20 points, as ATVGnet's script has it. "
        "Mouth opening: correlation over time with the true one. LVE: squared error of the worst mouth vertex, "
        "in ten-thousandths of the squared distance between the eyes. Intensity: distance of the expression from "
        "the speaker's neutral face.",
        for_systems=True,
    ),
    Layout(
        "further_sync",
        "Further measures of lips and faces. Not in the paper",
        ("sync_dist", "sync_offset", "sync_dist_corpus", "sync_offset_corpus", "face_rate"),
        _ALL_ROWS,
        "full",
        "Offset: where the sync judge finds the sound, 0 in sync. Face found: share of frames; the others are left out "
        "of the landmark distances.",
        for_systems=True,
    ),
)
