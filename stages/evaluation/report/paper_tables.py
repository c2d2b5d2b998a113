"""Tables I to V of the paper for this run, our numbers and the published ones side by side but never mixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import yaml

from stages.evaluation.report.layouts import METRICS, MOTION, SYSTEM, Layout, Metric
from stages.evaluation.report.statistics import Estimate, paired_p

TEX = str.maketrans(
    {
        **{letter: f"\\{letter}" for letter in "_#%&${}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "·": r"$\cdot$",
        "‱": "$10^{-4}$",
    }
)
"""What LaTeX would take for a command, or its fonts have not."""
PUBLISHED = Path(__file__).with_name("published.yaml")
FIRST, MAIN = (
    ("DreamTalk", "Ground truth"),
    "MEAD",
)  # rows of the paper that are read first, and the corpus of all tables


@dataclass(frozen=True)
class Cell:
    """One number. Ours has an estimate in the metric's shown unit, a published one only a mean.

    Attributes:
        p: p-value against the table's full model; None where there is none.
        best: of the methods with a value for as many clips as any, none is better.
        spread: what a published number has behind its ±.
        apart: it is measured in another way than the column's others, so that it is not compared with them.
    """

    mean: float
    estimate: Estimate | None = None
    p: float | None = None
    best: bool = False
    spread: float | None = None
    apart: bool = False


@dataclass(frozen=True)
class Row:
    """A method; `clips` is how many were evaluated, None where that is not known.

    Attributes:
        reference: not a method, or a row that competes with none.
        minor: of the paper's many rows one that a page may fold away.
    """

    label: str
    cells: tuple[Cell | None, ...]
    clips: int | None = None
    reference: bool = False
    minor: bool = False


@dataclass(frozen=True)
class Table:
    """A table ready to be shown; `absent` are sentences on what is not in it."""

    name: str
    title: str
    note: str
    columns: tuple[Metric, ...]
    ours: tuple[Row, ...]
    published: tuple[Row, ...]
    absent: tuple[str, ...]
    counted: str = "clips"


def load_published(path: Path = PUBLISHED) -> dict[str, list[dict[str, object]]]:
    """The paper's numbers by table: rows of method, corpus and the metrics that are printed."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def build(
    layout: Layout,
    per_clip: Mapping[str, pd.DataFrame],
    published: Sequence[Mapping[str, object]],
    estimate: Callable[[pd.Series], Estimate | None],
    reasons: Mapping[str, str],
) -> Table:
    """One table.

    Args:
        per_clip: the variants' metrics, indexed by clip_id.
        published: the paper's rows.
        estimate: mean and interval of a column over clips.
        reasons: why a metric was not measured, where a stage has said so.
    """
    columns = tuple(METRICS[name] for name in layout.columns)
    measured = [m for m in columns if any(_any_value(per_clip.get(variant), [m]) for variant in layout.rows)]
    unmeasured = [metric for metric in columns if metric not in measured]
    columns = tuple(m for m in columns if m in measured or any(m.column in row for row in published))
    present = {variant: label for variant, label in layout.rows.items() if _any_value(per_clip.get(variant), columns)}
    ours = [
        Row(
            label,
            tuple(_cell(metric, variant, layout, per_clip, estimate) for metric in columns),
            clips=len(per_clip[variant]),
            reference=variant in layout.reference,
        )
        for variant, label in present.items()
    ]
    printed = tuple(
        Row(
            f"{row['method']} · {row['corpus']}" if "corpus" in row else str(row["method"]),
            tuple(_printed(row.get(metric.column), row.get(f"{metric.column}_spread")) for metric in columns),
            minor=row["method"] not in FIRST and row.get("corpus", MAIN) != MAIN,
        )
        for row in published
    )
    rows = _mark_best(ours, columns)
    return Table(
        layout.name,
        layout.title,
        layout.note,
        columns,
        rows,
        printed,
        _absences(layout, present, unmeasured, reasons),
        layout.counted,
    )


def frame(table: Table) -> pd.DataFrame:
    """The table as data: a row a method, `<metric>`, `_low`, `_high`, `_n`, `_p` and `_spread` (published ±) columns.

    Numbers are in the units shown.
    """
    return pd.DataFrame(
        [
            {"method": row.label, "source": source, "clips": row.clips, **_flat(row, table.columns)}
            for source, rows in (("this run", table.ours), ("published", table.published))
            for row in rows
        ]
    )


def to_tex(table: Table) -> str:
    """The table as a LaTeX tabular (booktabs): mean ± half of the 95 % interval, the best bold, clips where some lack.

    Published numbers have the ± that is published.
    """
    head = ["Method", *(_tex(f"{m.label} ({m.unit})" if m.unit else m.label) for m in table.columns)]
    body = [_tex_row(row, table.columns) for row in table.ours]
    printed = [_tex_row(row, table.columns) for row in table.published]
    lines = [
        rf"\begin{{tabular}}{{l{'c' * len(table.columns)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        *body,
        *([rf"\midrule \multicolumn{{{len(head)}}}{{l}}{{\emph{{published}}}} \\", *printed] if printed else []),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _any_value(rows: pd.DataFrame | None, columns: Sequence[Metric]) -> bool:
    return rows is not None and any(m.column in rows and rows[m.column].notna().any() for m in columns)


def _cell(
    metric: Metric,
    variant: str,
    layout: Layout,
    per_clip: Mapping[str, pd.DataFrame],
    estimate: Callable[[pd.Series], Estimate | None],
) -> Cell | None:
    rows = per_clip[variant]
    found = estimate(rows[metric.column]) if metric.column in rows else None
    if found is None:
        return None
    shown = replace(found, **{name: getattr(found, name) * metric.scale for name in ("mean", "low", "high")})
    full = per_clip.get(layout.full)
    tested = metric.better and variant not in (layout.full, *layout.reference)
    apart = variant.startswith(SYSTEM) and metric.column in MOTION
    tested = tested and full is not None and metric.column in full and not apart
    p = paired_p(rows[metric.column], full[metric.column]) if tested else None
    return Cell(shown.mean, shown, p, apart=apart)


def _printed(value: object, spread: object) -> Cell | None:
    return None if value is None else Cell(float(value), spread=None if spread is None else float(spread))


def _mark_best(rows: Sequence[Row], columns: Sequence[Metric]) -> tuple[Row, ...]:
    cells = [list(row.cells) for row in rows]
    for c, metric in enumerate(columns):
        competing = [r for r, row in enumerate(rows) if not row.reference and row.cells[c] and not row.cells[c].apart]
        # a mean over few clips is no rival of one over all
        most = max((rows[r].cells[c].estimate.n for r in competing), default=0)
        competing = [r for r in competing if rows[r].cells[c].estimate.n == most]
        if len(competing) < 2 or metric.better is None:
            continue
        # values that print alike are equally good
        values = {r: round(rows[r].cells[c].mean, metric.digits) for r in competing}
        top = max(values.values()) if metric.better == "higher" else min(values.values())
        for r in competing:
            cells[r][c] = replace(cells[r][c], best=values[r] == top)
    return tuple(replace(row, cells=tuple(cells[r])) for r, row in enumerate(rows))


def _absences(
    layout: Layout,
    present: Mapping[str, str],
    unmeasured: Sequence[Metric],
    reasons: Mapping[str, str],
) -> tuple[str, ...]:
    missing = [label for variant, label in layout.rows.items() if variant not in present]
    labels = "; ".join(f"{m.label} ({reasons[m.column]})" if m.column in reasons else m.label for m in unmeasured)
    return (
        *([f"Without results in this run: {', '.join(missing)}."] if present and missing else []),
        *([f"Not measured in this run: {labels}."] if unmeasured else []),
    )


def _flat(row: Row, columns: Sequence[Metric]) -> dict[str, float | int | None]:
    flat: dict[str, float | int | None] = {}
    for metric, cell in zip(columns, row.cells, strict=True):
        found = cell.estimate if cell else None
        flat[metric.column] = cell.mean if cell else None
        flat |= {f"{metric.column}_{part}": getattr(found, part) if found else None for part in ("low", "high", "n")}
        flat |= {f"{metric.column}_{part}": getattr(cell, part) if cell else None for part in ("p", "spread")}
    return flat


def _tex_row(row: Row, columns: Sequence[Metric]) -> str:
    cells = [_tex_cell(cell, metric) for cell, metric in zip(row.cells, columns, strict=True)]
    return " & ".join([_tex(row.label), *cells]) + r" \\"


def _tex_cell(cell: Cell | None, metric: Metric) -> str:
    if cell is None:
        return "--"
    mean = f"{cell.mean:.{metric.digits}f}"
    mean = rf"\mathbf{{{mean}}}" if cell.best else mean
    found = cell.estimate
    around = found.half_width if found else cell.spread
    reach = "" if around is None else rf" \pm {around:.{metric.digits}f}"
    return f"${mean}{reach}$" + (f" ({found.n} of {found.total})" if found and found.n < found.total else "")


def _tex(text: str) -> str:
    return text.translate(TEX)
