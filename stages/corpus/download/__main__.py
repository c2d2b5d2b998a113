"""What became of the downloads: ``python -m stages.corpus.download [--forget permanent]``."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from stages import params as parameters
from stages.corpus.download.store import NAME, Store
from stages.program import one_line_errors


@one_line_errors("download")
def main(arguments: list[str] | None = None) -> None:
    """Print how many downloads are done, or failed and why; or forget failures, so that ingest tries them again."""
    parser = argparse.ArgumentParser(prog="python -m stages.corpus.download", description=main.__doc__)
    parser.add_argument("--forget", choices=("permanent", "transient"), help="failures to try again in the next run")
    forget = parser.parse_args(arguments).forget
    folder = Path(parameters.load().ingest.download.folder)
    if not (folder / NAME).is_file():
        raise FileNotFoundError(f"{folder} has no downloads yet: `dvc repro` with ingest.source hdtf or voxceleb2")
    with contextlib.closing(Store(folder)) as store:
        if forget:
            print(f"download: {store.forget(forget)} {forget} failures forgotten; next: dvc repro -f -s ingest")
        for status, kind, reason, count in store.counts():
            print(f"{count:6d} {status}" + (f", {kind}: {reason}" if reason else ""))


if __name__ == "__main__":
    main()
