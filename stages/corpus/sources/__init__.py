"""Where raw videos come from: one module a source, each with ``items(params, raw_dir) -> Found``.

Videos that lie somewhere already stay there; a source that makes videos puts them into `raw_dir`. What is wrong with
one item is recorded on it (status "failed", reason); what is wrong with a list or a corpus is a row of Found.defects.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class SourceError(ValueError):
    """A source cannot be used as it is; the text says what to do."""


@dataclass
class Found:
    """What a source has.

    Attributes:
        items: rows of tables.SOURCES.
        defects: rows of tables.DEFECTS, in the order in which they were found; their numbers come last.
    """

    items: list[dict] = field(default_factory=list)
    defects: list[dict] = field(default_factory=list)

    def defect(
        self, file: str, problem: str, consequence: str, *, row: int | None = None, item: str | None = None
    ) -> None:
        """Note what is wrong in `file` (at a line, about an item), and what was done about it."""
        self._note("defect", file, problem, consequence, row, item)

    def left_out(self, file: str, problem: str, reason: str) -> None:
        """Note what is fine but is not used."""
        self._note("left out", file, problem, reason, None, None)

    def _note(self, kind: str, file: str, problem: str, consequence: str, row: int | None, item: str | None) -> None:
        self.defects.append(
            {
                "number": len(self.defects) + 1, "file": file, "row": row, "item": item, "kind": kind,
                "problem": problem, "consequence": consequence,
            }
        )  # fmt: skip
