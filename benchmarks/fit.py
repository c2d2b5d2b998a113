"""Frames a second of the face model fit on one core.

python -m benchmarks.fit [--frames 250] [--clips 20]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from dreamtalk_models import face_topology as topology
from dreamtalk_models.face_model import FaceModel
from dreamtalk_models.fitting import fit
from stages import params
from stages.features.landmark_fit import strengths


def random_model(expression_dim: int, seed: int = 0) -> FaceModel:
    """A face model of the full size; its numbers mean nothing."""
    generator = torch.Generator().manual_seed(seed)
    rows = 3 * topology.VERTICES
    return FaceModel(
        mean=torch.randn(topology.VERTICES, 3, generator=generator),
        identity_basis=0.05 * torch.randn(rows, 80, generator=generator),
        expression_basis=0.1 * torch.randn(rows, expression_dim, generator=generator),
        expression_std=torch.full((expression_dim,), 0.19),
        vertex_weights=torch.ones(topology.VERTICES),
        triangles=torch.zeros(852, 3, dtype=torch.int64),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=250, help="frames of a clip")
    parser.add_argument("--clips", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    settings = params.load().fit
    for dim in (32, 64):
        model = random_model(dim)
        motion = torch.zeros(arguments.frames, 3)
        expression = 0.19 * torch.randn(arguments.frames, dim)
        landmarks = model.project(torch.zeros(80), expression, motion, motion + torch.tensor([128.0, 128.0, 4.0]))
        seconds = []
        for _ in range(arguments.clips):
            start = time.process_time()
            fit(model, landmarks, **strengths(settings))
            seconds.append(time.process_time() - start)
        rate = arguments.frames / np.array(seconds)
        print(f"{dim} coefficients: {np.median(rate):.0f} frames/s of processor time ({rate.max():.0f} at best)")


if __name__ == "__main__":
    main()
