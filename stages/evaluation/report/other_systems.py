"""The section on other authors' systems: what each is, what the paper reports of it, and whether it was scored here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.evaluation.report.layouts import METRICS
from stages.evaluation.report.results import Results
from stages.evaluation.systems.manifest import System, systems


@dataclass(frozen=True)
class Row:
    """A system.

    Attributes:
        reported: the columns and tables for which the paper prints numbers of it.
        scored: of how many clips this run has its videos, "18 of 24"; None: no video was given.
    """

    system: System
    reported: str
    scored: str | None


def rows(results: Results, published: Mapping[str, Sequence[Mapping]]) -> list[Row]:
    """The manifest's systems, in the paper's order."""
    return [Row(system, _reported(system.name, published), _scored(system.name, results)) for system in systems()]


def _reported(name: str, published: Mapping[str, Sequence[Mapping]]) -> str:
    columns: dict[str, None] = {}
    for table, printed in published.items():
        if table != "source":
            own = [row for row in printed if row["method"] == name]
            columns |= dict.fromkeys(METRICS[key].label for row in own for key in row if key in METRICS)
    return ", ".join(columns) or "none"


def _scored(name: str, results: Results) -> str | None:
    if name not in results.methods:
        return None
    found = results.methods[name]
    return f"{int(found['frames'].fillna(0).gt(0).sum()) if 'frames' in found else 0} of {len(found)}"
