"""``dreamtalk rating-page | rating-results | preference-page | preference-results``: people judge videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.evaluation import named_folders
from flows.commands.shell import fail, user_errors


def rating_page(
    method: Annotated[list[str], typer.Option(help="NAME=DIR: videos of one method, <clip_id>.mp4, with sound.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the page and its videos.")],
    references: Annotated[Path | None, typer.Option(help="Silent videos of the styles asked for.")] = None,
    clips: Annotated[int, typer.Option(min=1, help="Clips at most.")] = 30,
    participants: Annotated[int, typer.Option(min=1, help="Orders laid out.")] = 24,
    each_clip_once: Annotated[bool, typer.Option(help="A participant sees each clip by one method only.")] = False,
    seed: Annotated[int, typer.Option(help="Of names and orders.")] = 0,
) -> None:
    """A page that shows blinded videos in random order and collects ratings; OUT.key.json says which is which."""
    methods = named_folders(method)
    with user_errors():
        from stages.evaluation.rating import ratings

        try:
            key = ratings.make(
                methods,
                out,
                references=references,
                clips=clips,
                participants=participants,
                each_clip_once=each_clip_once,
                seed=seed,
            )
        except ValueError as error:
            fail(str(error))
        print(f"{out / 'index.html'}: {len(key['videos'])} videos. Keep {ratings.key_of(out)} to yourself.")


def rating_results(
    key: Annotated[Path, typer.Argument(help="OUT.key.json, which rating-page wrote.")],
    ratings: Annotated[list[Path], typer.Argument(help="The files that participants saved.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for means.csv, anova.csv, tukey.csv, ratings.csv.")],
    no_style: Annotated[list[str] | None, typer.Option(help="A method to which no style can be given.")] = None,
) -> None:
    """Means and intervals, one-way ANOVA and Tukey's test of what participants rated."""
    with user_errors():
        from stages.evaluation.rating.analysis import analyse

        for path in (key, *ratings):
            if not path.is_file():
                fail(f"{path}: no such file")
        try:
            found = analyse(key, ratings, no_style or ())
        except ValueError as error:
            fail(str(error))
        out.mkdir(parents=True, exist_ok=True)
        for name in ("means", "anova", "tukey", "ratings"):
            getattr(found, name).to_csv(out / f"{name}.csv", index=False, float_format="%.6g")
        for table in (found.means, found.anova, found.tukey):
            print(table.to_string(index=False, float_format=lambda x: f"{x:.3g}"), end="\n\n")
        for reason in found.refused:
            print(f"left out: {reason}")
        for remark in found.unfinished:
            print(f"unfinished, but counted: {remark}")
        print(f"{out}: means.csv, anova.csv, tukey.csv, ratings.csv")


def preference_page(
    method: Annotated[list[str], typer.Option(help="NAME=DIR, twice: videos of a method, <clip_id>.mp4, with sound.")],
    truth: Annotated[Path, typer.Option(help="Videos of the same names that show the style.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="New folder for the page and its videos.")],
    clips: Annotated[int, typer.Option(min=1, help="Clips at most.")] = 20,
    participants: Annotated[int, typer.Option(min=1, help="Orders laid out.")] = 20,
    seed: Annotated[int, typer.Option(help="Of names and orders.")] = 0,
) -> None:
    """A page that asks which of two blinded videos has the style of a third; OUT.pairs.json says which is which."""
    methods = named_folders(method)
    with user_errors():
        from stages.evaluation.rating import preference

        try:
            key = preference.make(methods, truth, out, clips=clips, participants=participants, seed=seed)
        except ValueError as error:
            fail(str(error))
        print(f"{out / 'index.html'}: {key['asked']} pairs. Keep {preference.key_of(out)} to yourself.")


def preference_results(
    key: Annotated[Path, typer.Argument(help="OUT.pairs.json, which preference-page wrote.")],
    choices: Annotated[list[Path], typer.Argument(help="The files that participants saved.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for preference.json, choices.csv.")],
) -> None:
    """How often the first method was preferred: share, binomial interval, sign test over participants."""
    with user_errors():
        from stages.evaluation.rating.choices import analyse
        from stages.files import write_json

        for path in (key, *choices):
            if not path.is_file():
                fail(f"{path}: no such file")
        try:
            found = analyse(key, choices)
        except ValueError as error:
            fail(str(error))
        out.mkdir(parents=True, exist_ok=True)
        write_json(found.numbers, out / "preference.json")
        found.choices.to_csv(out / "choices.csv", index=False)
        print(
            f"{found.first} was preferred to {found.second} in {found.share:.1%} of {len(found.choices)} choices "
            f"(95 % interval {found.low:.1%} to {found.high:.1%}), by {found.prefer_first} participants, "
            f"{found.second} by {found.prefer_second}: p = {found.p:.3g} (sign test); {found.left:.0%} chose the left"
        )
        for reason in found.refused:
            print(f"left out: {reason}")
        for remark in found.unfinished:
            print(f"unfinished, but counted: {remark}")
        print(f"{out}: preference.json, choices.csv")
