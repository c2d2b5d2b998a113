"""The command line: ``dreamtalk fit | generate | evaluate | status | clip | doctor | reproduce | ui``, and more.

Exit codes: 0 done; 2 wrong use or bad input, told in one line on stderr; 1 anything else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from flows.servers import MLFLOW_PORT, PREFECT_PORT

CHECKOUT = Path(__file__).resolve().parents[1]


class OneLineErrors(TyperGroup):
    """Says wrong use in one line on stderr, exit 2, in place of a framed page."""

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except typer.Abort:
            sys.exit(1)
        except Exception as error:
            if not standalone_mode or not hasattr(error, "format_message"):
                raise
            fail(" ".join(error.format_message().split()))
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(cls=OneLineErrors, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


def fail(message: str) -> None:
    """One line on stderr, exit 2."""
    print(f"dreamtalk: {message}", file=sys.stderr)
    sys.exit(2)


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn what the user can mend into one line on stderr and exit 2; everything else passes through."""
    with native_logs_off():
        from stages.evaluation.inputs import InputError
        from stages.features.audio import CheckpointError
        from stages.features.face_files import FaceFileError
        from stages.params import ParamsError

        try:
            yield
        except (InputError, ParamsError, CheckpointError, FaceFileError, FileNotFoundError, PermissionError) as error:
            fail(" ".join(str(error).split()))


@contextmanager
def native_logs_off() -> Iterator[None]:
    """Keep what mediapipe's C++ side writes to stderr, whatever its log level, out of the user's sight."""
    python, real = sys.stderr, os.dup(2)
    with open(os.devnull, "w") as nothing:  # noqa: PTH123 - not a path of the file system
        os.dup2(nothing.fileno(), 2)
    if python is sys.__stderr__:
        sys.stderr = open(real, "w", closefd=False)  # noqa: SIM115 - a descriptor, closed below
    try:
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = python
        os.dup2(real, 2)
        os.close(real)


def repository() -> Path:
    """Where params.yaml, models/ and data/ are: the current folder, else the checkout this program is part of."""
    return Path.cwd() if Path("params.yaml").is_file() else CHECKOUT


def workshop():
    """The repository's networks and parameters."""
    from stages import params

    root = repository()
    settings = params.load(root / params.PARAMS_FILE)  # before the slow imports: it may say no at once
    from stages.evaluation.workshop import Workshop

    return Workshop(root, settings)


MODEL_HELP = "A face_model.npz, BFM_model_front.mat or ICT-FaceKit's folder; else models/face_model."


@app.command()
def fit(
    video: Annotated[Path, typer.Argument(help="A video of one face.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="OUT.mat or OUT.parquet.")],
    overlay: Annotated[Path | None, typer.Option(help="Also write the video with the mesh on it, *.mp4.")] = None,
    model: Annotated[Path | None, typer.Option(help=MODEL_HELP)] = None,
    own_rate: Annotated[bool, typer.Option("--own-rate", help="Every frame of the video, not 25 a second.")] = False,
) -> None:
    """3DMM coefficients of one video: identity, expression, pose."""
    with user_errors():
        from stages.evaluation import coefficients, video_fit
        from stages.evaluation.inputs import check_output

        check_output(out, coefficients.SUFFIXES)
        if overlay:
            check_output(overlay, (".mp4",))
        settings = _settings()
        face = _face_model(model, settings)
        fps = video_fit.frame_rate(video) if own_rate else settings.crop.fps
        found = video_fit.fit_video(video, face, settings, fps)
        coefficients.write(found, out)
        if overlay:
            video_fit.write_overlay(video, found, face, fps, overlay)
        print(f"{out}: {len(found.expression)} frames, fit error {found.rmse.mean():.2f} px")


@app.command()
def import_coefficients(
    folder: Annotated[Path, typer.Argument(help="Files of coefficients, *.mat, with sound of the same names.")],
    model: Annotated[Path | None, typer.Option(help=f"That they belong to. {MODEL_HELP}")] = None,
    fps: Annotated[float, typer.Option(min=1, max=240, help="Frames a second of the coefficients.")] = 25.0,
) -> None:
    """A corpus of coefficients and sound, without video: replaces data/clips, data/motion and what belongs to them."""
    with user_errors():
        from stages.evaluation import exchange

        settings = _settings()
        made = exchange.import_folder(folder, repository(), _face_model(model, settings), settings, fps)
        for reason in made.refused:
            print(f"left out: {reason}")
        print(f"{made.clips} clips, {made.frames} frames. What needs no pictures can be trained on them:")
        print(f"dvc repro --single-item {exchange.PICTURELESS}")


@app.command()
def export_coefficients(
    out: Annotated[Path, typer.Argument(help="Folder for a CLIP_ID.mat of every clip.")],
) -> None:
    """The corpus' coefficients, data/motion, as .mat files of the published form."""
    with user_errors():
        from stages.evaluation import exchange

        settings = _settings()
        count = exchange.export_folder(repository(), _face_model(None, settings), settings, out)
        print(f"{out}: {count} clips")


def _settings():
    from stages import params

    return params.load(repository() / params.PARAMS_FILE)


def _face_model(path: Path | None, settings):
    """The face model in `path`, or the repository's."""
    if path is None:
        return workshop().face_model
    from stages.features import face_files

    return face_files.open_model(path, settings.face_model)


@app.command()
def generate(
    portrait: Annotated[Path, typer.Option(help="A photograph with a face.")],
    voice: Annotated[Path, typer.Option(help="Any sound or video file with speech.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="OUT.mp4.")],
    style: Annotated[str, typer.Option(help="auto (from voice and face), VIDEO, MAT or CLIP_ID.")] = "auto",
    intensity: Annotated[float, typer.Option(min=0, help="Of the style: 0 neutral, 1 as it is, more: stronger.")] = 1.0,
    pose: Annotated[str, typer.Option(help="still, or VIDEO, MAT or CLIP_ID whose head movement to use.")] = "still",
    renderer: Annotated[Literal["mesh_warp", "pirenderer"], typer.Option()] = "mesh_warp",
    steps: Annotated[int, typer.Option(min=1, help="Sampling steps.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampling noise.")] = 0,
    size: Annotated[int, typer.Option(min=64, max=2048, help="Longest side of the video at most, px.")] = 512,
    watermark: Annotated[bool, typer.Option(help="Mark the video visibly as AI-generated.")] = True,
) -> None:
    """A talking head: the portrait speaks with the voice, in a style."""
    with user_errors():
        shop = workshop()
        from stages.evaluation.from_files import Request, talking_head

        request = Request(portrait, voice, out, style, intensity, pose, renderer, steps, seed, size, watermark)
        result = talking_head(request, shop)
        for remark in result.remarks:
            print(remark)
        print(f"{out}: {result.frames} frames, {result.seconds:.2f} s, {result.width}x{result.height}")


@app.command()
def evaluate(
    truth: Annotated[Path, typer.Option(help="Folder of true videos.")],
    method: Annotated[list[str], typer.Option(help="NAME=DIR: videos of one method, named as the true ones.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for metrics.csv and summary.json.")],
) -> None:
    """Metrics of talking heads against the truth: metrics.csv per clip, summary.json."""
    methods = dict(_named_folder(text) for text in method)
    if len(methods) < len(method):
        fail("--method: two methods have the same name")
    for folder in (truth, *methods.values()):
        if not folder.is_dir():
            fail(f"{folder}: no such folder")
        if not any(folder.glob("*.mp4")):
            fail(f"{folder} holds no video (*.mp4)")
    with user_errors():
        from stages.evaluation.inputs import check_output

        check_output(out / "metrics.csv", (".csv",))
        from stages.evaluation.compare import compare

        compare(truth, methods, out, _rulers())
        print(f"{out}: metrics.csv, summary.json")


def _rulers():
    """The repository's settings of scoring, without the judge that is not trained yet."""
    from dataclasses import replace

    from stages import params
    from stages.evaluation.evaluate import rulers_of

    root = repository()
    rulers = rulers_of(params.load(root / params.PARAMS_FILE).evaluate, root / "models")
    return rulers if rulers.corpus_syncnet.is_file() else replace(rulers, corpus_syncnet=None)


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        fail(f"--method {text}: expected NAME=DIR")
    return name, Path(folder)


@app.command()
def status() -> None:
    """How far the corpus is: items, videos cropped, clips kept and refused."""
    from rich.console import Console

    with user_errors():
        from flows.status import rows, table

        os.chdir(repository())
        Console().print(table(rows()))


@app.command()
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


@app.command()
def doctor() -> None:
    """What this machine has, what it lacks, and how to get it."""
    from rich.console import Console

    from flows.doctor import findings, table

    Console().print(table(list(findings(repository()))))


@app.command()
def reproduce(
    stages: Annotated[list[str] | None, typer.Argument(help="Only these stages and what they need.")] = None,
    prefect_port: Annotated[int, typer.Option(min=1, max=65535)] = PREFECT_PORT,
) -> None:
    """The whole reproduction (dvc.yaml) as a Prefect flow; the server that shows it runs at least as long."""
    from flows.servers import prefect_server

    os.chdir(repository())
    with prefect_server(prefect_port) as address:
        print(f"Watch it at {address}", flush=True)
        from flows.reproduce import reproduce as flow  # Prefect reads its settings when it is imported

        try:
            flow(stages)
        except ValueError as error:
            fail(str(error))


@app.command()
def ui(
    prefect_port: Annotated[int, typer.Option(min=1, max=65535)] = PREFECT_PORT,
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535)] = MLFLOW_PORT,
) -> None:
    """Prefect and MLflow servers and the flows' deployments, on localhost, until Ctrl-C."""
    from flows.ui import run

    os.chdir(repository())
    run(prefect_port, mlflow_port)


if __name__ == "__main__":
    app()
