"""``dreamtalk status | clip``: the corpus, as far as it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.shell import repository, user_errors


def status() -> None:
    """How far the corpus is: items, videos cropped, clips kept and refused."""
    from rich.console import Console

    with user_errors():
        from flows.status import rows, table

        os.chdir(repository())
        Console().print(table(rows()))


def clip(
    clip_id: Annotated[str, typer.Argument(help="A clip of data/clips/clips.parquet.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="OUT.mp4.")],
) -> None:
    """One clip of the corpus, with its sound, as a file to play."""
    with user_errors():
        from stages.corpus.media import Clips
        from stages.corpus.unpack import write_clip
        from stages.evaluation.inputs import InputError, check_output

        check_output(out, (".mp4",))
        folder = repository() / "data/clips"
        try:
            write_clip(Clips(folder), clip_id, out)
        except KeyError as error:
            raise InputError(f"no clip {clip_id!r} in {folder / 'clips.parquet'}") from error
