"""``dreamtalk evaluate | export-test-list | systems``: anybody's videos, scored; what others need to make them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.shell import fail, parameters, repository, user_errors, workshop

REMARKS = 10  # shown; metrics.csv has all


def evaluate(
    truth: Annotated[Path, typer.Option(help="Folder of true videos.")],
    method: Annotated[list[str], typer.Option(help="NAME=DIR: videos of one method, named as the true ones.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for metrics.csv and summary.json.")],
) -> None:
    """Metrics of talking heads against the truth: metrics.csv per clip, summary.json."""
    methods = named_folders(method)
    with user_errors():
        from stages.evaluation.inputs import check_output

        check_output(out / "metrics.csv", (".csv",))
        from stages.evaluation.compare import compare, videos
        from stages.evaluation.scoring import judges

        rulers = _rulers()
        try:
            for folder in (truth, *methods.values()):
                videos(folder)
            judges(rulers)
        except ValueError as error:
            fail(" ".join(str(error).split()))
        settings = parameters()
        scores = compare(truth, methods, out, rulers, resamples=settings.evaluate.bootstrap, seed=settings.seed)
        _show(scores)
        print(f"{out}: metrics.csv, summary.json")
        if scores.select_dtypes("number").isna().all(axis=None):
            fail("no video could be scored: the reasons stand above")


def _show(scores) -> None:
    """Each method's means, and how many of its clips each comes from where some have no value."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    groups = dict(list(scores.groupby("method", sort=False)))
    for name in ("metric", *groups):
        table.add_column(name, justify="left" if name == "metric" else "right", no_wrap=True)
    for metric in scores.select_dtypes("number"):
        cells = [_cell(rows[metric]) for rows in groups.values()]
        table.add_row(metric, *cells)
    Console().print(table)
    remarks = scores[scores["reason"] != ""]
    for row in remarks.head(REMARKS).itertuples():
        print(f"{row.method}, {row.clip_id}: {row.reason}")
    print(f"{len(scores)} videos, {len(remarks)} with a remark: column `reason` of metrics.csv")


def _cell(values) -> str:
    known = values.dropna()
    mean = f"{known.mean():.3f}" if len(known) else "-"
    return mean if len(known) == len(values) else f"{mean} ({len(known)} of {len(values)})"


def export_test_list(
    out: Annotated[Path, typer.Argument(help="Folder for list.csv and the files that it names.")],
) -> None:
    """The test clips as other systems take them: sound, first frame, style reference, head motion."""
    with user_errors():
        shop = workshop()
        from stages.evaluation.systems.test_list import export

        settings, root, model = shop.settings, shop.root, shop.face_model
        try:
            table = export(root, model, settings.crop.size, round(settings.crop.fps), settings.generate.max_clips, out)
        except ValueError as error:
            fail(str(error))
        print(f"{out}: {len(table)} clips; README.txt says what is what")


def systems() -> None:
    """The systems that the paper compares: licence, inputs, how each is called, where its videos go."""
    from stages.evaluation.systems.manifest import systems as known

    for system in known():
        folder = Path("data/methods") / system.name
        there = "videos in" if (repository() / folder).is_dir() else "no videos in"
        print(f"{system.name}: {system.paper}")
        print(f"    {system.repository or 'no public code is known'}; licence: {system.licence}")
        print(f"    takes {', '.join(system.inputs)}; {there} {folder}")
        print(f"    {system.run or '-'}")
        print(f"    {system.notes} (from: {system.checked})\n")


def _rulers():
    """The repository's settings of scoring, without the judge that is not trained yet; its files' paths start there."""
    from dataclasses import replace

    from stages.evaluation.evaluate import rulers_of

    root = repository()
    rulers = rulers_of(parameters().evaluate, root / "models")
    given = {name: getattr(rulers, name) for name in ("syncnet", "arcface", "vgg16")}
    rulers = replace(rulers, **{name: path and root / path for name, path in given.items()})
    return rulers if rulers.corpus_syncnet.is_file() else replace(rulers, corpus_syncnet=None)


def named_folders(texts: list[str]) -> dict[str, Path]:
    """Folders by name, of NAME=DIR as --method has them."""
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, folder) in zip(texts, pairs, strict=True):
        if not (name and equals and folder):
            fail(f"--method {text}: expected NAME=DIR")
    folders = {name: Path(folder) for name, _, folder in pairs}
    if len(folders) < len(texts):
        fail("--method: two methods have the same name")
    return folders
