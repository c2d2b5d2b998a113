"""The trained networks of a repository, and motion taken from a user's videos, files of coefficients or its clips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from torch import nn

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.renderers.pirenderer import PIRenderer
from dreamtalk_models.style_predictor import StylePredictor
from stages import tables
from stages.columns import Columns
from stages.evaluation import coefficients as files
from stages.evaluation.coefficients import Coefficients
from stages.evaluation.inputs import InputError
from stages.evaluation.motion import Pose
from stages.evaluation.talking_head import device
from stages.evaluation.video_fit import fit_video
from stages.params import Params

Network = TypeVar("Network", bound=nn.Module)
Loaded = TypeVar("Loaded")


class Workshop:
    """The trained networks of a repository, loaded when first needed.

    Args:
        root: the repository: models/ and data/motion/ lie below it.
        settings: its parameters.

    Raises:
        InputError: on use of a network that has not been trained; names the command that trains it.
    """

    def __init__(self, root: Path, settings: Params) -> None:
        self.root, self.settings = root, settings
        if (network := root / settings.audio.checkpoint).is_dir():  # named relative to the repository
            audio = settings.audio.model_copy(update={"checkpoint": str(network)})
            self.settings = settings.model_copy(update={"audio": audio})

    @cached_property
    def face_model(self) -> FaceModel:
        return self._load("models/face_model/face_model.npz", "face_model", FaceModel.load)

    @cached_property
    def denoiser(self) -> Denoiser:
        return self._network("models/denoiser/full/weights.safetensors", "train_denoiser@full", Denoiser)

    @cached_property
    def style_predictor(self) -> StylePredictor:
        path, stage = "models/style_predictor/full/weights.safetensors", "train_style_predictor@full"
        return self._network(path, stage, StylePredictor)

    @cached_property
    def pirenderer(self) -> PIRenderer:
        return self._network("models/renderer/weights.safetensors", "train_renderer", PIRenderer)

    def _network(self, path: str, stage: str, cls: type[Network]) -> Network:
        return self._load(path, stage, lambda file: checkpoints.load(file, cls).to(device()))

    def _load(self, path: str, stage: str, load: Callable[[Path], Loaded]) -> Loaded:
        file = self.root / path
        if not file.is_file():
            raise InputError(f"{path} is missing in {self.root}: run `dvc repro {stage}` there first")
        try:
            return load(file)
        except ValueError as error:
            raise InputError(f"{error}; `dvc repro {stage}` makes it anew") from error

    def fit(self, video: Path) -> Coefficients:
        """See :func:`stages.evaluation.video_fit.fit_video`."""
        return fit_video(video, self.face_model, self.settings, self.settings.crop.fps)

    def coefficients(self, source: str, what: str) -> Coefficients:
        """Coefficients of a video, of a file of coefficients, or of a clip, by its clip_id or by how it was filmed;
        crop.fps of them a second, which files that do not say so are taken to have.

        Raises:
            InputError: `source` is none of these, or no face is in it; `what` says what it was wanted for.
        """
        path = Path(source)
        if path.suffix.lower() in files.SUFFIXES:
            found = files.read(path)
            return files.at_rate(found, found.fps or self.settings.crop.fps, self.settings.crop.fps)
        if path.is_file():
            return self.fit(path)
        clip_id = self.clip_id(source, what)
        clip = Columns(self.root / "data/motion")[clip_id]
        pose = Pose(clip["angles"], clip["translation"])
        size = (self.settings.crop.size, self.settings.crop.size)
        rmse, digest = clip["fit_rmse_px"], self.face_model.digest
        return Coefficients(clip["identity"], clip["expression"], pose, rmse, size, digest, self.settings.crop.fps)

    def clip_id(self, source: str, what: str) -> str:
        """The clip that is meant by its clip_id, or the first that was filmed so: [SPEAKER/]EMOTION[/LEVEL].

        Raises:
            InputError: as :meth:`coefficients`.
        """
        try:
            clips = set(Columns(self.root / "data/motion"))
            return source if source in clips else next(self._filmed(source, clips))
        except (StopIteration, FileNotFoundError) as error:
            raise InputError(
                f"{what} {source!r} is neither a file nor a clip_id of data/motion, nor its [SPEAKER/]EMOTION[/LEVEL]"
            ) from error

    def _filmed(self, source: str, clips: set[str]) -> Iterator[str]:
        wanted = source.split("/")
        for row in self.corpus().itertuples():
            parts = [row.speaker, row.emotion, "" if row.level is None else str(row.level)]
            if row.clip_id in clips and wanted in (parts, parts[:2], parts[1:], parts[1:2]):
                yield row.clip_id

    def corpus(self) -> pd.DataFrame:
        """clip_id, speaker, emotion and level (None if unknown) of the corpus' clips, by clip_id.

        Raises:
            FileNotFoundError: there is no corpus here.
        """
        table = tables.read(self.root / "data/split.parquet")[["clip_id", "speaker", "emotion", "level"]]
        table["level"] = [None if pd.isna(level) else int(level) for level in table["level"]]
        return table.astype({"level": object}).sort_values("clip_id")

    def style(self, source: str) -> np.ndarray:
        """Reference expression (S, D) from `source`; see :meth:`coefficients`."""
        found, model = self.coefficients(source, "style"), self.face_model
        basel = self.settings.face_model.kind != "ict" and not model.is_mediapipe  # an imported one is in no parameter
        if found.face_model != model.digest and not (found.face_model is None and basel):
            raise InputError(
                f"{source} belongs to another face model than models/face_model: "
                "give the video itself, or fit it anew with `dreamtalk fit`"
            )
        if found.expression.shape[1] != model.expression_dim:
            raise InputError(
                f"{source} has {found.expression.shape[1]} expression numbers, but models/face_model has "
                f"{model.expression_dim} (face_model.expression_dim)"
            )
        return found.expression

    def pose(self, source: str) -> Pose:
        """Head movement from `source`; of files of the published kind only the head's turning is taken, since the place
        of each frame was found by itself there, and shakes."""
        found = self.coefficients(source, "pose")
        if found.face_model is None:
            return Pose(found.pose.angles, np.zeros_like(found.pose.translation))
        return found.pose
