"""The page: one HTML file with its pictures and videos inside, that opens without a server or a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from stages import pages
from stages.corpus import picture
from stages.evaluation.report.layouts import Metric
from stages.evaluation.report.paper_tables import Cell
from stages.evaluation.report.results import Absent

TEMPLATE = Path(__file__).with_name("page.html.j2")
PRINTED_DIGITS = 2  # that the paper gives


def render(content: Mapping[str, Any]) -> str:
    """The page's HTML; `content` is what the template names."""
    environment = pages.environment(TEMPLATE.parent, picture.TEMPLATES)
    environment.tests["absent"] = lambda value: isinstance(value, Absent)
    environment.filters |= {"cell": cell, "p_value": p_value}
    return environment.get_template(TEMPLATE.name).render(content)


def cell(value: Cell | None, metric: Metric) -> Markup:
    """A number of a paper table: the mean, and below it its interval, its p-value, and its clips where some lack."""
    if value is None:
        return Markup('<span class="none">–</span>')
    found = value.estimate
    digits = metric.digits if found else min(metric.digits, PRINTED_DIGITS)
    shown = Markup("<b>{}</b>" if value.best else "<span>{}</span>").format(
        f"{round(value.mean, digits) + 0.0:.{digits}f}"
    )
    if found is None:
        around = Markup("<small>±\u2009{}</small>").format(f"{value.spread:.{PRINTED_DIGITS}f}") if value.spread else ""
        return shown + around
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
