"""``dreamtalk fit | import-coefficients | export-coefficients``: videos and corpora as 3DMM coefficients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.shell import parameters, repository, user_errors, workshop

MODEL_HELP = "A face_model.npz, BFM_model_front.mat or ICT-FaceKit's folder; else models/face_model."


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
        from stages.evaluation.inputs import check_input, check_output

        check_input(video)
        read = [video, *([model] if model else [])]
        check_output(out, coefficients.SUFFIXES, read)
        if overlay:
            check_output(overlay, (".mp4",), read)
        settings = parameters()
        face = _face_model(model, settings)
        fps = video_fit.frame_rate(video) if own_rate else settings.crop.fps
        found = video_fit.fit_video(video, face, settings, fps)
        coefficients.write(found, out)
        if overlay:
            video_fit.write_overlay(video, found, face, fps, overlay)
        print(f"{out}: {len(found.expression)} frames, fit error {found.rmse.mean():.2f} px")


def import_coefficients(
    folder: Annotated[Path, typer.Argument(help="Files of coefficients, *.mat, with sound of the same names.")],
    model: Annotated[Path | None, typer.Option(help=f"That they belong to. {MODEL_HELP}")] = None,
    fps: Annotated[float, typer.Option(min=1, max=240, help="Frames a second of coefficients that do not say.")] = 25.0,
) -> None:
    """A corpus of coefficients and sound, without video: replaces data/clips, data/motion and what belongs to them."""
    with user_errors():
        from stages.evaluation import exchange

        settings = parameters()
        made = exchange.import_folder(folder, repository(), _face_model(model, settings), settings, fps)
        for reason in made.refused:
            print(f"left out: {reason}")
        print(f"{made.clips} clips, {made.frames} frames. What needs no pictures can be trained on them:")
        print(f"dvc repro --single-item {exchange.PICTURELESS}")


def export_coefficients(
    out: Annotated[Path, typer.Argument(help="Folder for a CLIP_ID.mat of every clip.")],
) -> None:
    """The corpus' coefficients, data/motion, as .mat files of the published form."""
    with user_errors():
        from stages.evaluation import exchange

        settings = parameters()
        count = exchange.export_folder(repository(), _face_model(None, settings), settings, out)
        print(f"{out}: {count} clips")


def _face_model(path: Path | None, settings):
    """The face model in `path`, or the repository's."""
    if path is None:
        return workshop().face_model
    from stages.features import face_files

    return face_files.open_model(path, settings.face_model)
