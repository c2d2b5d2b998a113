"""A small training as a program of its own, to be killed, or to be started by torchrun.

python -m tests.stages.training.toy_training FOLDER [--batch 8]: trains in FOLDER/state, says every step on stdout, and
writes FOLDER/weights.safetensors and FOLDER/curves.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from stages.params import TrainingLoop
from stages.training import distributed, loop

STEPS = 40
SETTINGS = TrainingLoop(warmup=0.1, weight_decay=0.01, clip_norm=1.0, validations=8, patience=0)


def task(batch_size: int) -> loop.Task:
    def batch(generator: torch.Generator) -> loop.Batch:
        return {"x": torch.randn(batch_size, 4, generator=generator)}

    def fill(drawn: loop.Batch) -> loop.Batch:
        assert len(drawn["x"]) == batch_size // distributed.processes()
        return {**drawn, "y": drawn["x"].sum(1, keepdim=True), "valid": drawn["x"][:, :1] > 0}

    def loss(net: nn.Module, examples: loop.Batch):
        print("step", flush=True)
        error = distributed.masked_mean((net(examples["x"]) - examples["y"]).square(), examples["valid"])
        return error, {"error": error}

    def validate(net: nn.Module) -> dict[str, float]:
        x = batch(torch.Generator().manual_seed(99))["x"]
        everywhere = torch.ones(len(x), 1, dtype=torch.bool)
        return {"loss": float(loss(net, {"x": x, "y": x.sum(1, keepdim=True), "valid": everywhere})[0])}

    return loop.Task(batch, loss, validate, fill)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--dropout", type=float, default=0.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    distributed.join()
    torch.manual_seed(7)
    network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(given.dropout), nn.Linear(16, 1))
    curves = []
    trained = loop.train(
        network,
        task(given.batch),
        SETTINGS,
        steps=STEPS,
        learning_rate=1e-2,
        seed=3,
        work=given.folder / "state",
        log=lambda step, values: curves.append([step, values]),
        label="toy",
        ema=0.9,
    )
    if distributed.rank() == 0:
        save_file(trained.state_dict(), given.folder / "weights.safetensors")
        (given.folder / "curves.json").write_text(json.dumps(curves))
    distributed.leave()


if __name__ == "__main__":
    main()
