"""What every training stage does around its training: parameters, the tracked run, its folders, its complaints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout
from torch import nn

from dreamtalk_models import checkpoints
from dreamtalk_models.face_model import FaceModel, FaceModelError
from stages import tables, tracking
from stages.files import fresh_dir
from stages.params import Params, load
from stages.program import one_line_errors
from stages.shards import WORK
from stages.training import distributed, loop
from stages.training.data import DataError

SPLIT = Path("data/split.parquet")
MOTION = Path("data/motion")
AUDIO = Path("data/audio")
CLIPS = Path("data/clips")
LANDMARKS = Path("data/landmarks")
FACE_MODEL = Path("models/face_model/face_model.npz")
WEIGHTS = "weights.safetensors"
ERRORS = (DataError, checkpoints.WeightsError, FaceModelError, FloatingPointError, *loop.ERRORS)
PATIENCE_S = 60.0  # less than what processes that share a training wait for each other


@dataclass(frozen=True)
class Session:
    """One training stage at work.

    Attributes:
        seed: of the weights and of everything that is drawn.
        out: the stage's empty output folder.
        work: folder of the training's state; see :func:`stages.training.loop.workspace`.
    """

    params: Params
    seed: int
    run: tracking.StageRun
    out: Path
    work: Path
    label: str

    def train(
        self,
        network: nn.Module,
        task: loop.Task,
        *,
        steps: int,
        learning_rate: float,
        ema: float = 0.0,
        part: str = "",
        steps_before: int = 0,
    ) -> nn.Module:
        """Train as the parameters say; the curves go to the run.

        Args:
            part: names one of several trainings of a stage; steps_before: how many steps the ones before it took.
        """
        return loop.train(
            network,
            task,
            self.params.training,
            steps=steps,
            learning_rate=learning_rate,
            seed=self.seed,
            work=self.work / part,
            log=lambda step, values: self.run.log(steps_before + step, values),
            label=f"{self.label} {part}".strip(),
            ema=ema,
            timing=lambda step, values: self.run.timing(steps_before + step, values),
        )

    def save(self, network: nn.Module) -> None:
        """Write the stage's weights."""
        if distributed.rank() == 0:
            checkpoints.save(network, self.out / WEIGHTS, stage=self.label)


@contextmanager
def session(
    stage: str,
    section: str,
    variant: str | None = None,
    inputs: tuple[Path, ...] = (),
    folder: str | None = None,
    files: tuple[str, ...] = (),
) -> Iterator[Session]:
    """Open a training stage: models/<section>[/<variant>] and metrics/<section>[/<variant>].json are its outputs.

    Bad parameters, bad or missing inputs and numbers that run away end the program with one line on stderr and code 2.
    Under torchrun the first process alone writes and tells. One run at a time trains a network; another one waits.

    Args:
        stage: name in dvc.yaml, without its variant.
        section: of params.yaml.
        inputs: files and folders that are read; a killed training goes on only if they are the same.
        folder: in place of `section` in the outputs' names, for what has another network's section, to be compared.
        files: parameters of the section that name files (None: no file), which are inputs too.
    """
    place = Path(folder or section, variant or "")
    sections = ["training", section]
    try:
        with one_line_errors(stage, *ERRORS):
            params = load()
            compared = variant or folder  # anything else judges, or draws, them all
            seed = params.training_seed if compared else params.seed
            distributed.join()
            label = f"{stage}/{variant}" if variant else stage
            out = Path("models") / place
            metrics = Path("metrics") / f"{place}.json"  # a variant's name may have a dot
            identity = [variant, seed, *(getattr(params, name).model_dump(mode="json") for name in sections)]
            named = [Path(path) for name in files if (path := getattr(getattr(params, section), name))]
            with (
                _alone(label),
                _run(stage, params, sections, variant=variant, out=out, metrics=metrics) as run,
                loop.workspace(stage, identity, [*inputs, *named]) as work,
            ):
                yield Session(params, seed, run, out, work, label)
    finally:
        distributed.leave()


@contextmanager
def _alone(label: str) -> Iterator[None]:
    """Hold a training's lock in the first process, so that no two runs write the same files. All processes wait while
    another run holds it, but meet in between, lest they give each other up."""
    path = (WORK / f"{label.replace('/', '@')}.lock").resolve()
    path.parent.mkdir(exist_ok=True)
    lock = FileLock(path)

    def taken(patience_s: float) -> bool:
        with suppress(Timeout):
            lock.acquire(timeout=patience_s)
        return lock.is_locked

    if not distributed.of_first(lambda: taken(0)):
        if distributed.rank() == 0:
            print(f"{label}: another run is training the same network; waiting for it to end", flush=True)
        while not distributed.of_first(lambda: taken(PATIENCE_S)):
            pass
    try:
        yield
    finally:
        lock.release()


def _run(stage: str, params: Params, sections: list[str], *, out: Path, **options) -> AbstractContextManager:
    """The tracked run of the first process; silence for the others."""
    if distributed.rank():
        return nullcontext(tracking.SilentRun())
    return tracking.stage_run(stage, params, sections, out=fresh_dir(out), **options)


def read_split(run: tracking.StageRun) -> pd.DataFrame:
    """split.parquet, declared as the run's data set."""
    split = tables.read(SPLIT)
    run.dataset("split", split, SPLIT)
    return split


def face_model() -> FaceModel:
    return FaceModel.load(FACE_MODEL).to(loop.device())
