"""Do generated lips meet where the true ones do? Where `dvc repro` has been:

python -m benchmarks.closures [--root REPOSITORY]

Of the frames of the test clips in which the true lips touch, the share in which a variant's lips do, and the same of
the other frames. Lips touch where they look closed by half or more (:class:`stages.training.denoiser.Lips`), on the
fitted motion of the true clips and the generated motion of the variants, with no picture between.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dreamtalk_models.closures import MOUTH, Closure
from dreamtalk_models.face_model import FaceModel
from stages import params
from stages.columns import Columns
from stages.program import one_line_errors
from stages.training.denoiser import Lips

HALF = 0.5


def touching(lips: Lips, expression: np.ndarray) -> np.ndarray:
    """Whether the middle of the lips touches in each frame, (n,) bool, of an expression (n, D)."""
    return lips.closed(torch.from_numpy(np.array(expression, np.float32))).mean(1).numpy() >= HALF


@one_line_errors("closures", ValueError)
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path())
    root = parser.parse_args().root
    gap = params.load(root / params.PARAMS_FILE).denoiser.closure_gap
    face = FaceModel.load(root / "models" / "face_model" / "face_model.npz")
    lips = Lips(Closure(face, face.mean.new_zeros(face.identity_dim), MOUTH), gap)
    truth, rows = Columns(root / "data" / "motion"), {}
    if not (folders := sorted(path.parent for path in (root / "generated").glob("*/motion.arrow"))):
        raise FileNotFoundError("generated/ holds no motion: `dvc repro generate` makes it")
    for folder in folders:
        made = Columns(folder)
        pairs = [(touching(lips, truth[clip]["expression"]), touching(lips, made[clip]["expression"])) for clip in made]
        true, ours = (np.concatenate(part) for part in zip(*pairs, strict=True))
        rows[folder.name] = {"where true lips touch": ours[true].mean(), "elsewhere": ours[~true].mean()}
    print(f"true lips touch in {true.mean():.1%} of {len(true)} frames")
    print(pd.DataFrame(rows).T.map("{:.1%}".format).to_string())


if __name__ == "__main__":
    main()
