"""Stage `ingest`: raw videos into data/raw under safe names; every item ends as ok, or failed with its reason."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from stages import params as parameters
from stages import tables, tracking
from stages.corpus.sources import SourceError, demo, folder
from stages.files import fresh_dir
from stages.params import Params
from stages.program import one_line_errors

RAW = Path("data/raw")
SOURCES = {"demo": demo.items, "folder": folder.items}


def ingest(params: Params, raw_dir: Path) -> pd.DataFrame:
    """Fill `raw_dir` from the source that params name; return its table, which is sources.parquet there.

    Raises:
        SourceError: the source cannot be used, or not one of its files is a readable video.
    """
    table = tables.from_rows(SOURCES[params.ingest.source](params, fresh_dir(raw_dir)), tables.SOURCES)
    tables.write(table, tables.SOURCES, raw_dir / "sources.parquet")
    if not (table["status"] == "ok").any():
        raise SourceError("no file is a readable video: " + "; ".join(table["origin"] + " " + table["reason"]))
    return table


@one_line_errors("ingest", SourceError)
def main() -> None:
    params = parameters.load()
    with tracking.stage_run("ingest", params, ["ingest"]) as run:
        table = ingest(params, RAW)
        failed = table[table["status"] == "failed"]
        for row in failed.itertuples():
            print(f"ingest: {row.origin!r} {row.reason}", flush=True)
        print(f"ingest: {len(table) - len(failed)} videos, {len(failed)} files failed", flush=True)
        run.summary(
            {
                "items": len(table),
                "items_failed": len(failed),
                "speakers": table["speaker"].nunique(),
                "bytes": table["bytes"].sum(),
            }
        )
        run.dataset("sources", table, RAW / "sources.parquet")
        if len(failed):
            run.table("failed", failed)


if __name__ == "__main__":
    main()
