"""Pages in the house's look: HTML files with their pictures inside, that open without a server or a network."""

from __future__ import annotations

import base64
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from stages.plots import DARK

_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4"}


def environment(*folders: Path) -> jinja2.Environment:
    """Templates of some folders, and page.css beside this file; unknown names are errors."""
    result = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    result.filters |= {"plot": plot, "data_uri": data_uri, "jpeg": jpeg, "table": table}
    return result


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


def jpeg(picture: bytes) -> str:
    """A JPEG's bytes as an address."""
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


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
