"""How much should the denoiser listen to the lip expert? A sweep over λ, `denoiser.sync_weight` (equation 6).

The paper gives no λ. For each weight and seed the `full` denoiser is trained as in the stage `train_denoiser` and
speaks the validation clips, with the second half of each clip as its style reference. A lip expert judges that none of
them was trained against: the unconditional one. Run it where `dvc repro` has been::

    python -m experiments.sync_weight

It leaves experiments/sync_weight.csv, experiments/sync_weight.png and a run of every training in MLflow. A sweep that
was killed goes on where it was; networks run in as many processes as there are cores, on one thread each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from dreamtalk_models import checkpoints
from dreamtalk_models.denoiser import Denoiser
from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.lip_expert import LipExpert
from stages import params as parameters
from stages import shards, tables, tracking
from stages.columns import Columns
from stages.evaluation.metrics import landmark_distance as lmd
from stages.evaluation.talking_head import reference_code, seed_of, speak
from stages.features.audio import windows
from stages.files import atomic_path, write_json
from stages.training import data, denoiser, loop
from stages.training.session import AUDIO, FACE_MODEL, MOTION, SPLIT, WEIGHTS

WEIGHTS_TRIED = (0.0, 0.005, 0.02, 0.08, 0.32)
SEEDS = (0, 1)
GUIDE, JUDGE = "style_aware", "unconditional"
NAME = "sync_weight"
EXPERTS = Path("models/lip_expert")
OUT = Path(__file__).parent
CODE = (  # what decides a cell's numbers
    "dreamtalk_models",
    "experiments/sync_weight.py",
    "stages/evaluation/metrics/landmark_distance.py",
    "stages/evaluation/talking_head.py",
    "stages/features/audio.py",
    "stages/training",
)
LOSS = 0.01  # share of expressiveness that may be paid for sync: that much do seeds differ
COLUMNS = {
    "sync": "the judge's mean probability of sync, of windows around every frame; higher is better",
    "sync_guide": "the same of the lip expert that the denoiser was trained with",
    "opening": "Pearson correlation of the mouth's opening with the true one; higher is better",
    "m_lmd": "distance of the 20 mouth points, centred, in % of the inter-ocular distance; lower is better",
    "f_lmd": "distance of all 68 points, centred, in % of the inter-ocular distance; lower is better",
    "variation": "standard deviation in time of the mouth's points over the true one; 1 is as lively",
}


def cell(folder: Path, settings: parameters.Params) -> None:
    """Train one denoiser and measure it: folder/scores.json and folder/history.json.

    Args:
        settings: all parameters, with this cell's `denoiser.sync_weight` and `training_seed`.
    """
    p = settings.denoiser
    split = tables.read(SPLIT)
    train, val = (data.load(split[split["split"] == name], MOTION, AUDIO) for name in ("train", "val"))
    face = FaceModel.load(FACE_MODEL).to(loop.device())
    history: list[tuple[int, dict[str, float]]] = []
    torch.manual_seed(settings.training_seed)
    network = denoiser.network(face, train, p)
    inputs = [SPLIT, MOTION, AUDIO, FACE_MODEL, EXPERTS]
    with loop.workspace(f"train_{NAME}", settings.model_dump(mode="json"), inputs) as work:
        network = loop.train(
            network,
            denoiser.task(train, val, denoiser.load_guide(GUIDE, EXPERTS, face), p, denoiser.watched_lips(face, p)),
            settings.training,
            steps=p.steps,
            learning_rate=p.learning_rate,
            seed=settings.training_seed,
            work=work,
            log=lambda step, values: history.append((step, dict(values))),
            label=f"weight {p.sync_weight:g}, seed {settings.training_seed}",
            ema=p.ema,
        )
    write_json(mean_scores(network, val.table, settings), folder / "scores.json")
    write_json(history, folder / "history.json")


def mean_scores(network: Denoiser | None, clips: pd.DataFrame, settings: parameters.Params) -> dict[str, float]:
    """COLUMNS of a denoiser's motion, means over clips; of the true motion where `network` is None.

    Args:
        clips: rows of split.parquet.
    """
    face = FaceModel.load(FACE_MODEL)
    experts = {
        name: checkpoints.load(EXPERTS / expert / WEIGHTS, LipExpert)
        for name, expert in (("sync", JUDGE), ("sync_guide", GUIDE))
    }
    motion, audio = Columns(MOTION), Columns(AUDIO)
    rows = []
    for clip_id in clips["clip_id"]:
        truth, sound = motion[clip_id]["expression"], audio[clip_id]["features"]
        style = truth[len(truth) // 2 :]
        spoken = truth if network is None else _spoken(network, sound, style, settings, clip_id)
        rows.append(
            {name: sync(expert, face, spoken, sound, style) for name, expert in experts.items()}
            | closeness(face, motion[clip_id]["identity"], truth, spoken)
        )
    return pd.DataFrame(rows).mean().to_dict()


def _spoken(
    network: Denoiser, sound: np.ndarray, style: np.ndarray, settings: parameters.Params, clip_id: str
) -> np.ndarray:
    p = settings.generate
    code = reference_code(network, style)
    heard = windows(sound, network.config["window"])
    seed = seed_of(0, clip_id)  # of all cells the same, so that they differ by their networks alone
    return speak(network, heard, code, steps=p.steps, guidance=p.guidance, method=p.method, seed=seed)


@torch.no_grad()
def sync(expert: LipExpert, face: FaceModel, motion: np.ndarray, sound: np.ndarray, style: np.ndarray) -> float:
    """Mean probability, over all windows of l frames, that lips and sound are in sync.

    Args:
        motion: (n, D) expression. sound: (2n, C). style: (S, D) reference, for a style-aware expert.
    """
    length = expert.clip_frames
    lips = face.mouth_vertices(_tensor(motion)).unfold(0, length, 1).transpose(1, 2)
    heard = _tensor(sound).unfold(0, 2 * length, 2).transpose(1, 2)[: len(lips)]
    reference = _tensor(style)[: expert.config["style_frames"]].expand(len(lips), -1, -1)
    return float(expert.probability(expert(lips, heard, reference)).mean())


def closeness(face: FaceModel, identity: np.ndarray, truth: np.ndarray, motion: np.ndarray) -> dict[str, float]:
    """COLUMNS but for sync, of two motions (n, D) of one face (I,), seen from the front."""
    real, made = (
        100 * face.landmarks68(face.vertices(_tensor(identity), _tensor(expression))).numpy()
        for expression in (truth, motion)
    )
    mouths = [points[:, lmd.MOUTH, :2] for points in (made, real)]
    lively, wanted = (mouth.std(0).mean() for mouth in mouths)
    return {
        "opening": lmd.mouth_opening_correlation(real, made),
        "m_lmd": float(lmd.m_lmd(real, made).mean()),
        "f_lmd": float(lmd.f_lmd(real, made).mean()),
        "variation": float(lively / wanted),
    }


def choose(cells: pd.DataFrame) -> float:
    """The weight whose lips the judge finds most in sync, among those that cost next to no expressiveness.

    That is, whose mean m_lmd and f_lmd over the seeds exceed the least ones by at most the share LOSS.

    Args:
        cells: columns sync_weight, sync, m_lmd, f_lmd; a row a training.
    """
    mean = cells.groupby("sync_weight")[["sync", "m_lmd", "f_lmd"]].mean()
    kept = mean[(mean[["m_lmd", "f_lmd"]] <= (1 + LOSS) * mean[["m_lmd", "f_lmd"]].min()).all(axis=1)]
    return float((kept if len(kept) else mean)["sync"].idxmax())


def picture(cells: pd.DataFrame, truth: dict[str, float]) -> Figure:
    """Each column over λ: the seeds as dots, their mean as a line, the true motion's value dashed."""
    figure = Figure(figsize=(10, 5.5), layout="constrained")
    mean = cells.groupby("sync_weight").mean()
    places = range(len(mean))
    for axes, name in zip(figure.subplots(2, 3).flat, COLUMNS, strict=True):
        axes.plot([list(mean.index).index(weight) for weight in cells["sync_weight"]], cells[name], "o", color="0.6")
        axes.plot(places, mean[name], ".-")
        if name.startswith("sync"):
            axes.axhline(truth[name], color="0.4", linestyle="--", linewidth=0.8, label="true motion")
            axes.legend()
        axes.set_xticks(places, [f"{weight:g}" for weight in mean.index])
        axes.set(title=name, xlabel="λ")
    return figure


def _grid(settings: parameters.Params) -> Iterator[parameters.Params]:
    for seed in SEEDS:
        for weight in WEIGHTS_TRIED:
            network = settings.denoiser.model_copy(update={"sync_weight": weight})
            yield settings.model_copy(update={"denoiser": network, "training_seed": seed})


def _track(settings: parameters.Params, folder: Path) -> dict[str, float]:
    """Tell MLflow of a cell; returns its row."""
    weight, seed = settings.denoiser.sync_weight, settings.training_seed
    scores = json.loads((folder / "scores.json").read_text())
    with tracking.stage_run(NAME, settings, ["training", "denoiser"], variant=f"{weight:g}/seed{seed}") as run:
        for step, values in json.loads((folder / "history.json").read_text()):
            run.log(step, values)
        run.summary(scores)
    return {"sync_weight": weight, "seed": seed, **scores}


def _tensor(array: np.ndarray) -> Tensor:
    return torch.as_tensor(np.array(array, np.float32))


def main() -> int:
    try:
        settings = parameters.load()
        inputs = [SPLIT, FACE_MODEL, *sorted(MOTION.glob("*")), *sorted(AUDIO.glob("*")), *sorted(EXPERTS.glob("*/*"))]
        version = [shards.code_version(*CODE), *map(_stamp, inputs)]
        cells = list(_grid(settings))
        keys = [shards.shard_key(version, one.model_dump(mode="json")) for one in cells]
        folders = shards.run_shards(cell, [(one,) for one in cells], keys, NAME, executor=settings.executor)
        frame = pd.DataFrame([_track(*pair) for pair in zip(cells, folders, strict=True)])
        split = tables.read(SPLIT)
        truth = mean_scores(None, split[split["split"] == "val"].sort_values("clip_id"), settings)
    except (parameters.ParamsError, FileNotFoundError, data.DataError, ValueError, *loop.ERRORS) as error:
        print(f"{NAME}: {error}; the sweep needs what `dvc repro train_lip_expert` makes", file=sys.stderr)
        return 2
    with atomic_path(OUT / f"{NAME}.csv") as tmp:
        pd.concat([frame, pd.DataFrame([{"sync_weight": "truth", **truth}])]).round(4).to_csv(tmp, index=False)
    picture(frame.drop(columns="seed"), truth).savefig(OUT / f"{NAME}.png", dpi=90)
    print(frame.drop(columns="seed").groupby("sync_weight").mean().round(4).to_string())
    print("chosen:", choose(frame))
    return 0


def _stamp(path: Path) -> list:
    return [path.as_posix(), path.stat().st_size, path.stat().st_mtime_ns]


if __name__ == "__main__":
    sys.exit(main())
