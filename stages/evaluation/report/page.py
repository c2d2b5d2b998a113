"""The page: one HTML file with its pictures and videos inside, that opens without a server or a network."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from stages.evaluation.report.figures import DARK
from stages.evaluation.report.layouts import Metric
from stages.evaluation.report.paper_tables import Cell
from stages.evaluation.report.results import Absent

TEMPLATE = Path(__file__).with_name("page.html.j2")
PRINTED_DIGITS = 2  # that the paper gives
_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4"}


def render(content: Mapping[str, Any]) -> str:
    """The page's HTML; `content` is what the template names."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["absent"] = lambda value: isinstance(value, Absent)
    environment.filters |= {"plot": plot, "data_uri": data_uri, "table": table, "cell": cell, "p_value": p_value}
    return environment.get_template(TEMPLATE.name).render(content)


def data_uri(path: Path) -> str:
    """A file's content as an address."""
    return f"data:{_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def plot(path: Path, alt: str) -> Markup:
    """A plot that follows the reader's choice of light or dark."""
    dark = data_uri(path.with_stem(path.stem + DARK))
    return Markup(
        '<picture><source srcset="{}" media="(prefers-color-scheme: dark)"><img src="{}" alt="{}"></picture>'
    ).format(dark, data_uri(path), alt)


def table(frame: pd.DataFrame) -> Markup:
    """A plain table: text left, numbers right, at most three digits after the point, a dash where there is nothing.

    A last row whose first cell is "all" is set apart.
    """
    numeric = [pd.api.types.is_numeric_dtype(frame[name]) for name in frame]
    head = "".join(
        f'<th scope="col"{_right(number)}>{escape(name)}</th>' for name, number in zip(frame, numeric, strict=True)
    )
    body = []
    for row in frame.itertuples(index=False):
        cells = "".join(f"<td{_right(number)}>{_value(value)}</td>" for value, number in zip(row, numeric, strict=True))
        body.append(f"<tr{' class=total' if row[0] == 'all' else ''}>{cells}</tr>")
    return Markup(
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def cell(value: Cell | None, metric: Metric) -> Markup:
    """A number of a paper table: the mean, and below it its interval, its p-value, and its clips where some lack."""
    if value is None:
        return Markup('<span class="none">–</span>')
    found = value.estimate
    digits = metric.digits if found else min(metric.digits, PRINTED_DIGITS)
    shown = Markup("<b>{}</b>" if value.best else "<span>{}</span>").format(f"{value.mean:.{digits}f}")
    if found is None:
        return shown
    below = [f"±\u2009{found.half_width:.{digits}f}"]
    if value.p is not None:
        below.append(f"p\u2009{p_value(value.p)}")
    if found.n < found.total:
        below.append(f"n\u2009=\u2009{found.n}")
    return shown + Markup("").join(Markup("<small>{}</small>").format(line) for line in below)


def p_value(p: float | None) -> str:
    """As one writes it: "= 0.012", "< 0.001"."""
    if p is None:
        return "–"
    return "<\u20090.001" if p < 0.001 else f"=\u2009{p:.3f}"


def _right(number: bool) -> str:
    return ' class="number"' if number else ""


def _value(value: object) -> Markup:
    if value is None or pd.isna(value):
        return Markup('<span class="none">–</span>')
    if isinstance(value, float):
        return escape(
            f"{value:,.0f}" if value == round(value) else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.1f}"
        )
    return escape(f"{value:,}" if isinstance(value, int) else str(value))
