"""Stage `ingest`: raw videos into data/raw/sources.parquet; every item ends as ok, or failed with its reason.

What is wrong with a list or a corpus as a whole stands in data/raw/defects.parquet, by file and row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from pathlib import Path

import pandas as pd

from stages import params as parameters
from stages import tables, tracking
from stages.corpus.reasons import kind
from stages.corpus.sources import SourceError, demo, folder, hdtf, mead, ravdess, voxceleb2
from stages.files import fresh_dir
from stages.params import Params
from stages.program import one_line_errors

RAW = Path("data/raw")
SOURCES = {
    "demo": demo.items,
    "folder": folder.items,
    "mead": mead.items,
    "ravdess": ravdess.items,
    "hdtf": hdtf.items,
    "voxceleb2": voxceleb2.items,
}
SHOWN = 100  # lines of a kind on the screen; the tables have all


def ingest(params: Params, raw_dir: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fill `raw_dir` from the source that params name; return its tables, sources.parquet and defects.parquet there.

    Raises:
        SourceError: the source cannot be used, or not one of its files is a readable video.
    """
    found = SOURCES[params.ingest.source](params, fresh_dir(raw_dir))
    table = tables.from_rows(found.items, tables.SOURCES)
    defects = tables.from_rows(found.defects, tables.DEFECTS)
    tables.write(table, tables.SOURCES, raw_dir / "sources.parquet")
    tables.write(defects, tables.DEFECTS, raw_dir / "defects.parquet")
    return table, defects


def say(table: pd.DataFrame, defects: pd.DataFrame) -> None:
    """Print what came in, what failed and what is wrong with the corpus.

    Raises:
        SourceError: not one item can be used.
    """
    failed = table[table["status"] == "failed"]
    _lines(_remarks(defects))
    _lines(_reasons(failed))
    print(
        f"ingest: {len(table) - len(failed)} items are ok, {len(failed)} failed (sources.parquet); "
        f"{len(defects)} remarks on the corpus (defects.parquet)",
        flush=True,
    )
    if len(failed) == len(table):
        raise SourceError("no item is a readable video: " + ("; ".join(_reasons(failed)[:3]) or "there is none"))


def _reasons(failed: pd.DataFrame) -> list[str]:
    """A line for each kind of reason, with the first item that has it and how many more there are."""
    kinds = _by_kind((kind(row.reason), f"failed: {row.origin!r} {row.reason}") for row in failed.itertuples())
    return [line + (f" (and {more} more)" if more else "") for line, more in kinds]


def _remarks(defects: pd.DataFrame) -> list[str]:
    """A line for each kind of remark on a file, likewise."""
    kinds = _by_kind(
        (
            (row.kind, row.file, kind(row.problem), kind(row.consequence)),
            f"{row.kind}: {_place(row)}: {row.problem} ({row.consequence})",
        )
        for row in defects.itertuples()
    )
    return [line + (f"; {more} more remarks like this on the file" if more else "") for line, more in kinds]


def _by_kind(lines: Iterable[tuple[Hashable, str]]) -> list[tuple[str, int]]:
    """Of (kind, line) pairs the first line of each kind, and how many more there are of it."""
    kinds = defaultdict(list)
    for of, line in lines:
        kinds[of].append(line)
    return [(same[0], len(same) - 1) for same in kinds.values()]


def _lines(lines: Iterable[str]) -> None:
    lines = list(lines)
    for line in lines[:SHOWN]:
        print(f"ingest: {line}", flush=True)
    if len(lines) > SHOWN:
        print(f"ingest: ... {len(lines) - SHOWN} more lines like these: the tables, and MLflow, have all", flush=True)


def _place(row: tuple) -> str:
    place = row.file if pd.isna(row.row) else f"{row.file} line {row.row}"
    return place if row.item in (None, row.file) else f"{place}: {row.item}"


@one_line_errors("ingest", SourceError)
def main() -> None:
    params = parameters.load()
    with tracking.stage_run("ingest", params, ["ingest"]) as run:
        table, defects = ingest(params, RAW)
        failed = table[table["status"] == "failed"]
        run.summary(
            {
                "items": len(table),
                "items_failed": len(failed),
                "defects": int((defects["kind"] == "defect").sum()),
                "speakers": table["speaker"].nunique(),
                "bytes": table.drop_duplicates("path")["bytes"].sum(),
            }
        )
        run.dataset("sources", table, RAW / "sources.parquet")
        if len(failed):
            run.table("failed", failed)
        if len(defects):
            run.table("defects", defects)
        say(table, defects)


if __name__ == "__main__":
    main()
