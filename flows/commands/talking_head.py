"""``dreamtalk generate`` and ``dreamtalk page``: a portrait speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.commands.shell import user_errors, workshop


def generate(
    portrait: Annotated[Path, typer.Option(help="A photograph with a face.")],
    voice: Annotated[Path, typer.Option(help="Any sound or video file with speech.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="OUT.mp4.")],
    style: Annotated[
        str,
        typer.Option(
            help="auto (from voice and face), VIDEO, MAT, CLIP_ID or [SPEAKER/]EMOTION[/LEVEL] of the corpus; "
            'over time: "happy.mp4; 4.5=angry.mp4".'
        ),
    ] = "auto",
    intensity: Annotated[
        str, typer.Option(help='Of the style: 0 neutral, 1 as it is, more: stronger; over time: "1; 4.5=2".')
    ] = "1.0",
    pose: Annotated[
        str, typer.Option(help="still, mild (made up), or VIDEO, MAT or CLIP_ID whose head movement to use.")
    ] = "still",
    renderer: Annotated[Literal["mesh_warp", "pirenderer"], typer.Option()] = "mesh_warp",
    steps: Annotated[int, typer.Option(min=1, help="Sampling steps.")] = 10,
    seed: Annotated[int, typer.Option(min=0, max=2**64 - 1, help="Of sampling noise, blinks and mild movement.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Longest side of the video at most, px.")] = 512,
    watermark: Annotated[bool, typer.Option(help="Mark the video visibly as AI-generated.")] = True,
    frame: Annotated[Literal["face", "picture"], typer.Option(help="A square round the face, or all of it.")] = "face",
    blinks: Annotated[bool, typer.Option(help="Add blinks.")] = True,
    overwrite: Annotated[bool, typer.Option(help="Also a file that is no talking head made here.")] = False,
) -> None:
    """A talking head: the portrait speaks with the voice, in a style."""
    with user_errors():
        shop = workshop()
        from stages.evaluation.from_files import Request, talking_head

        made = {"renderer": renderer, "steps": steps, "seed": seed, "size": size, "frame": frame, "blinks": blinks}
        kept = {"watermark": watermark, "overwrite": overwrite}
        with _shown() as progress:
            result = talking_head(Request(portrait, voice, out, style, intensity, pose, **made, **kept), shop, progress)
        for remark in result.remarks:
            print(remark)
        print(f"{out}: {result.frames} frames, {result.seconds:.2f} s, {result.width}x{result.height}")


@contextmanager
def _shown() -> Iterator[Callable[[str, float], None]]:
    """A bar on a terminal, which goes when the work is done; nothing where stderr is none."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)


def page(
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1, which no other machine reaches.")] = 7860,
) -> None:
    """A web page on this machine: drop a portrait and a voice, choose a style, watch the result."""
    with user_errors():
        shop = workshop()
        from flows.page.server import serve

        serve(shop, port)
