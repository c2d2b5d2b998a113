"""Stage `report`: the paper's tables and figures for this run, and one page with all of it."""

from __future__ import annotations

from pathlib import Path

import mlflow
import torch

from stages import tracking
from stages.evaluation.report.build import build
from stages.evaluation.report.results import Results
from stages.files import write_json
from stages.params import load
from stages.program import one_line_errors

REPORTS = Path("reports")
METRICS = Path("metrics/report.json")


@one_line_errors("report")
def main() -> None:
    params = load()
    torch.set_num_threads(1)  # the order of sums, and with it the last digits, would depend on the machine
    with tracking.stage_run("report", params, ["report"]) as run:
        commit = mlflow.active_run().data.tags.get("git_commit", "")
        report = build(Results(), params, REPORTS, commit)
        write_json(dict(sorted(report.numbers.items())), METRICS)
        run.summary({tracking.metric_name(name): value for name, value in report.numbers.items()})
        for name, frame in report.tables.items():
            run.table(name, frame)
        for path in (REPORTS / "index.html", REPORTS / "tables", REPORTS / "figures"):
            run.artifact(path, path.name if path.is_dir() else None)


if __name__ == "__main__":
    main()
