"""``dreamtalk rating-page | rating-results | preference-page | preference-results``: people judge videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.evaluation import named_folders
from flows.commands.shell import fail, user_errors

if TYPE_CHECKING:
    from stages.evaluation.rating.analysis import Results
    from stages.evaluation.rating.choices import Preference

Out = Annotated[Path, typer.Option("--out", "-o", help="New folder for the page and its videos.")]
Participants = Annotated[int, typer.Option(min=1, help="How many orders are laid out, for participants 1, 2, 3 ...")]
Seed = Annotated[int, typer.Option(help="Of the videos' names and of the orders.")]


def rating_page(
    method: Annotated[
        list[str], typer.Option(help="NAME=DIR, twice or more: videos of a method, <clip_id>.mp4, with sound.")
    ],
    out: Out,
    references: Annotated[
        Path | None,
        typer.Option(help="Videos of the same names that show the style asked for, played silently; else none is."),
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="Clips at most, of those that all folders have.")] = 30,
    participants: Participants = 24,
    each_clip_once: Annotated[bool, typer.Option(help="A participant sees each clip by one method only.")] = False,
    seed: Seed = 0,
) -> None:
    """A page on which people rate blinded videos in random order; OUT.key.json says which video is which."""
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
        _tell(out, f"{key['asked']} videos", ratings.key_of(out))


def rating_results(
    key: Annotated[Path, typer.Argument(help="OUT.key.json, which rating-page wrote beside the folder.")],
    ratings: Annotated[list[Path], typer.Argument(help="The files that participants saved, ratings-*.json.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for means.csv, anova.csv, tukey.csv, ratings.csv.")],
    no_style: Annotated[
        list[str] | None, typer.Option(help="A method whose style does not count, as the truth's; once for each.")
    ] = None,
) -> None:
    """Means and intervals, one-way ANOVA and Tukey's test of what participants rated."""
    with user_errors():
        from stages.evaluation.rating.analysis import analyse, methods

        _check_files(key, *ratings)
        try:
            known = methods(key)
            if unknown := set(no_style or ()) - known:
                fail(f"--no-style {min(unknown)}: {key} has the methods {', '.join(sorted(known))}")
            found = analyse(key, ratings, no_style or ())
        except ValueError as error:
            fail(str(error))
        out.mkdir(parents=True, exist_ok=True)
        for name in ("means", "anova", "tukey", "ratings"):
            getattr(found, name).to_csv(out / f"{name}.csv", index=False, float_format="%.6g")
        for table in (found.means, found.anova, found.tukey):
            if not table.empty:
                print(table.to_string(index=False, float_format=lambda x: f"{x:.3g}"), end="\n\n")
        if found.anova.empty:
            print("no tests: they take two participants or more, who do not all say the same")
        _show_remarks(found)
        print(f"{out}: means.csv, anova.csv, tukey.csv, ratings.csv")


def preference_page(
    method: Annotated[list[str], typer.Option(help="NAME=DIR, twice: videos of a method, <clip_id>.mp4, with sound.")],
    truth: Annotated[Path, typer.Option(help="Videos of the same names that show the style, with sound.")],
    out: Out,
    clips: Annotated[int, typer.Option(min=1, help="Clips at most, of those that all folders have.")] = 20,
    participants: Participants = 20,
    seed: Seed = 0,
) -> None:
    """A page that asks which of two blinded videos has the style of a third; OUT.pairs.json says which is which."""
    methods = named_folders(method)
    with user_errors():
        from stages.evaluation.rating import preference

        try:
            key = preference.make(methods, truth, out, clips=clips, participants=participants, seed=seed)
        except ValueError as error:
            fail(str(error))
        _tell(out, f"{key['asked']} pairs", preference.key_of(out))


def preference_results(
    key: Annotated[Path, typer.Argument(help="OUT.pairs.json, which preference-page wrote beside the folder.")],
    choices: Annotated[list[Path], typer.Argument(help="The files that participants saved, choices-*.json.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for preference.json, choices.csv.")],
) -> None:
    """How often the first method was preferred: share, its interval and sign test over participants."""
    with user_errors():
        from stages.evaluation.rating.choices import analyse
        from stages.files import write_json

        _check_files(key, *choices)
        try:
            found = analyse(key, choices)
        except ValueError as error:
            fail(str(error))
        out.mkdir(parents=True, exist_ok=True)
        write_json(found.numbers, out / "preference.json")
        found.choices.to_csv(out / "choices.csv", index=False)
        print(
            f"{found.first} was preferred to {found.second} in {found.share:.1%} of {len(found.choices)} choices "
            f"(95 % interval {found.low:.1%} to {found.high:.1%}). Participants who prefer {found.first}: "
            f"{found.prefer_first}, {found.second}: {found.prefer_second}; p = {found.p:.3g} (sign test). "
            f"{found.left:.0%} of the choices fell on the left video"
        )
        _show_remarks(found)
        print(f"{out}: preference.json, choices.csv")


def _tell(out: Path, asked: str, key: Path) -> None:
    print(f"{out / 'index.html'}: {asked} a participant")
    print(f"Hand out the folder {out}, and to each participant a number, from 1 on. Keep {key} to yourself")


def _check_files(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            fail(f"{path}: no such file")


def _show_remarks(found: Results | Preference) -> None:
    for reason in found.refused:
        print(f"left out: {reason}")
    for remark in found.unfinished:
        print(f"unfinished, but counted: {remark}")
