"""What the pages of Prefect show of a run besides its logs: tables, summaries, pictures, and where to read on."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows.graph import Stage
from flows.progress import artifact_key
from flows.servers import HOST, MLFLOW_PORT

REPORT = Path("reports/index.html")
PICTURES = 6
PICTURE_BYTES = 400_000  # a picture lies in Prefect's database; its pages could not show a file


def mlflow_address() -> str:
    """Where a browser finds MLflow: the server that the runs go to, or the one that `dreamtalk ui` starts."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or os.environ.get("DREAMTALK_MLFLOW", "")
    return uri if uri.startswith("http") else f"http://{HOST}:{MLFLOW_PORT}"


def runs_page(experiment: str, search: str) -> str:
    """The address of MLflow's list of an experiment's runs that `search` finds."""
    return f"{mlflow_address()}/#/experiments/{experiment}/runs?searchFilter={quote(search)}"


def charts_page(experiment: str, search: str) -> str:
    """The address of the same runs as charts: `search` should find runs of one stage.

    MLflow makes a section for every kind of metric that a run on the list has, and draws the first ten runs: what only
    the others have is an empty section.
    """
    return f"{runs_page(experiment, search)}&compareRunsMode=CHART"


def compare_page(experiment: str, runs: list[str]) -> str:
    """The address of MLflow's page that lays runs side by side (parallel coordinates, scatter, box, differences)."""
    chosen, of = (quote(json.dumps(ids, separators=(",", ":"))) for ids in (runs, [experiment]))
    return f"{mlflow_address()}/#/compare-runs?runs={chosen}&experiments={of}"


@contextmanager
def shown() -> Iterator[None]:
    """Log what keeps an artifact from being made, and go on: it fails no work that is done."""
    try:
        yield
    except Exception as error:  # a server that is away, a picture that is none, a full disk
        get_run_logger().warning("not shown in Prefect: %s", " ".join(str(error).split())[-1000:])


@shown()
def stage_summary(stage: Stage, outcome: str, seconds: float) -> None:
    """What one stage did: how long it took, what it wrote, its numbers; and its pictures."""
    text = [f"**{stage.name}**: {stage.description}", "", f"{outcome}, {seconds:.0f} s", ""]
    text += ["| output | size |", "|---|---|", *(f"| {out} | {_size(Path(out))} |" for out in stage.outs), ""]
    if numbers := metrics(stage):
        text += ["| metric | value |", "|---|---|", *(f"| {name} | {value:.4g} |" for name, value in numbers.items())]
    create_markdown_artifact("\n".join(text), key=artifact_key("stage", stage.name), description=stage.description)
    for picture in _pictures(stage):
        create_image_artifact(
            _inline(picture), key=artifact_key("picture", stage.name, picture.stem), description=picture.stem
        )


@shown()
def stages_table(rows: list[dict]) -> None:
    create_table_artifact(rows, key="stages", description="What ran, and what DVC had already")


@shown()
def results(root: Path) -> None:
    """The numbers of all stages, and where the report and the runs are."""
    lines = ["| file | metric | value |", "|---|---|---|"]
    for path in sorted((root / "metrics").rglob("*.json")):
        name = path.relative_to(root / "metrics").with_suffix("")
        lines += [f"| {name} | {metric} | {value:.4g} |" for metric, value in _numbers(path).items()]
    create_markdown_artifact("\n".join(lines), key="metrics", description="All numbers, as `dvc metrics show`")
    if (root / REPORT).exists():
        address = (root / REPORT).resolve().as_uri()
        create_link_artifact(address, key="report", link_text="The report (a file on the machine that ran this)")
    create_link_artifact(mlflow_address(), key="mlflow", link_text="The runs in MLflow, to compare")


def metrics(stage: Stage) -> dict[str, float]:
    """The numbers in a stage's metrics files."""
    return {name: value for path in stage.metrics for name, value in _numbers(Path(path)).items()}


def _numbers(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return {name: value for name, value in content.items() if isinstance(value, (int, float))}


def _pictures(stage: Stage) -> list[Path]:
    found = [path for out in stage.outs for path in sorted(Path(out).rglob("*.png")) if Path(out).is_dir()]
    return [path for path in found if path.stat().st_size <= PICTURE_BYTES][:PICTURES]


def _inline(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()


def _size(path: Path) -> str:
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    if not files:
        return "missing"
    size = sum(item.stat().st_size for item in files)
    power = min(max(len(str(size)) - 1, 0) // 3, 3)
    scaled, unit = size / 1000**power, ("B", "kB", "MB", "GB")[power]
    return f"{scaled:.3g} {unit}" + (f" in {len(files)} files" if path.is_dir() else "")
