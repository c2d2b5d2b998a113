"""Studies as a Prefect flow: the ablations, or any grid of parameters, each over several seeds, one after another."""

from __future__ import annotations

import os
import warnings
from typing import Annotated

import pandas as pd
from prefect import flow, get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows import artifacts, study, workspace
from flows.graph import stage_graph, survey, with_needs
from flows.progress import artifact_key
from flows.reproduce import PARALLEL, THREADS, Parallel, TimeLimit, run_graph
from stages.program import STUDY
from stages.tracking import POINT

Name = Annotated[str, Field(pattern=f"^{study.NAME.pattern}$", description="small letters, digits, dashes")]
COMPARED = 100  # runs on MLflow's compare page; more fit into no address


@flow(name="ablate", flow_run_name="{name}")
def ablate(
    name: Name,
    seeds: list[int] = [0, 1, 2],  # noqa: B006 - Prefect shows it as the default
    grid: list[str] = [],  # noqa: B006
    stages: list[str] = ["evaluate"],  # noqa: B006
    metrics: list[str] = [],  # noqa: B006
    parallel: Parallel = PARALLEL,
    time_limit_h: TimeLimit = None,
) -> list[dict]:
    """Run `stages` for every point of the grid and every seed, on one corpus; compare over the seeds.

    With no grid it is the paper's ablations over seeds. A point that fails stops the study; started again under the
    same name, it goes through what is done in no time. params.yaml, dvc.lock and the outputs are as before afterwards.

    Args:
        name: of the study: tag of its MLflow runs, prefix of its DVC experiments, folder in reports/studies.
        seeds: of the trained networks (`training_seed`); corpus, split, judges and renderer stay.
        grid: parameters and their values, as "denoiser.sync_weight=0,0.02,0.08".
        stages: whose numbers are compared; what they need runs too.
        metrics: shown in the summary; none: those that compare methods.

    Returns:
        The rows of reports/studies/<name>/summary.csv.

    Raises:
        ValueError: a grid or stages that make no study, told before anything runs.
        WorkspaceBusy: another flow works here.
    """
    logger = get_run_logger()
    chosen = study.points(grid, seeds)
    study.targets(stage_graph(), stages)
    rows, clips, runs = [], [], []
    with workspace.held(f"ablate {name}", logger.warning), workspace.borrowed(logger.warning):
        began_with = study.BEGAN_WITH.read_text(encoding="utf-8")
        for point in chosen:  # all of them first: a wrong value is no news to get after hours
            study.set_parameters(point)
        for number, point in enumerate(chosen):
            study.set_parameters(point)
            found, scored, logged = study_point.with_options(flow_run_name=f"{name}: {point.label}")(
                name, point.label, stages, parallel, time_limit_h
            )
            rows += [{"setting": point.setting, "seed": point.seed, **row} for row in found]
            clips += [scores.assign(setting=point.setting, seed=point.seed) for scores in scored]
            runs += logged
            try:
                study.save_experiment(f"{name}-{number:02d}-seed{point.seed}")
            except RuntimeError as error:
                logger.warning("not kept as a DVC experiment: %s", error)
    results = pd.DataFrame(rows)
    if unknown := set(metrics) - set(results["metric"]):
        logger.warning("no stage has %s; results.csv has all that there are", ", ".join(sorted(unknown)))
    summary = study.summarise(results[study.worth_a_column(results, metrics)])
    folder = study.write(name, began_with, results, summary, clips)
    _publish(name, summary, runs)
    logger.info("%d runs; the tables are in %s", len(chosen), folder)
    return summary.to_dict("records")


@flow(name="study point", task_runner=ThreadPoolTaskRunner(max_workers=THREADS))
def study_point(
    name: str, label: str, stages: list[str], parallel: int, time_limit_h: float | None
) -> tuple[list[dict], list[pd.DataFrame], list[str]]:
    """One point of a study: the stages, then their numbers, their clips' scores, and the ids of their MLflow runs."""
    context = {STUDY: name, POINT: label}
    graph, unchanged = survey()
    targets = study.targets(graph, stages)
    run_graph(with_needs(graph, stages), unchanged, parallel, time_limit_h, context)
    found = [
        {"stage": stage.group, "variant": stage.name.partition("@")[2], "metric": metric, "value": value}
        for stage in targets
        for metric, value in artifacts.metrics(stage).items()
    ]
    from stages.dashboard import sync  # slow to import, and not needed before

    os.environ.update(context)
    try:
        logged = sync([stage.name for stage in targets])
    finally:
        for variable in context:
            del os.environ[variable]
    return found, study.scores_of_clips(targets), list(logged.values())


@artifacts.shown()
def _publish(name: str, summary: pd.DataFrame, runs: list[str]) -> None:
    import mlflow

    create_markdown_artifact(study.markdown(summary), key=artifact_key("study", name), description=f"The study {name}")
    table = summary.astype(object).where(summary.notna(), None).to_dict("records")
    create_table_artifact(table, key=artifact_key("study", name, "table"), description="Means and intervals over seeds")
    if not runs:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        experiment = mlflow.get_run(runs[0]).info.experiment_id
    create_link_artifact(
        artifacts.compare_page(experiment, runs[:COMPARED]),
        key=artifact_key("study", name, "compare"),
        link_text="Compare the runs in MLflow",
    )
    for stage in summary["stage"].unique():
        create_link_artifact(
            artifacts.charts_page(experiment, f'tags.study = "{name}" and tags.stage = "{stage}"'),
            key=artifact_key("study", name, "charts", stage),
            link_text=f"Charts of {stage} in MLflow",
        )
    create_link_artifact(
        artifacts.runs_page(experiment, f'tags.study = "{name}"'),
        key=artifact_key("study", name, "runs"),
        link_text="All runs of the study in MLflow",
    )
