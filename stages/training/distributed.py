"""One training on several processes, as torchrun starts them: who am I, which part of a batch is mine, what do all say.

Without torchrun there is one process, and everything here gives back what it got.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

Value = TypeVar("Value")


class BatchError(ValueError):
    """Processes cannot share a batch and do what one would; the text says why."""


def processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """Number of this process among all; the first one, 0, writes the files."""
    return int(os.environ.get("RANK", "0"))


def join() -> None:
    """Meet the other processes that torchrun started; on GPUs, take the one of this process."""
    if processes() == 1 or dist.is_initialized():
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo")


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def parallel(objective: nn.Module) -> nn.Module:
    """A module whose gradients are the mean over all processes, and whose batch statistics are those of all.

    Raises:
        BatchError: it takes such statistics, which torch cannot share between processes without GPUs.
    """
    if processes() == 1:
        return objective
    if torch.cuda.is_available():
        objective = nn.SyncBatchNorm.convert_sync_batchnorm(objective)
    elif any(isinstance(module, _BatchNorm) for module in objective.modules()):
        raise BatchError(
            "this network has batch normalisation, which processes share on GPUs only: train it in one process"
        )
    return DistributedDataParallel(objective, find_unused_parameters=True)


def share(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """This process' examples: an equal, contiguous part along the first dimension.

    Raises:
        BatchError: the batch does not divide.
    """
    count = processes()
    for name, tensor in batch.items():
        if len(tensor) % count:
            raise BatchError(
                f"a batch of {len(tensor)} ({name}) does not divide over {count} processes; change `batch`"
            )
    return {name: tensor.chunk(count)[rank()] for name, tensor in batch.items()}


def per_process(count: Tensor) -> Tensor:
    """What each process divides its sum by, so that the mean over processes is the mean over all that they count:
    the count () of all, 1 at least, over the number of processes.

    All processes must ask together. Without gradients nobody is asked: the first process validates alone.
    """
    if processes() == 1 or not torch.is_grad_enabled():
        return count.clamp(min=1)
    total = count.detach().clone()
    dist.all_reduce(total)
    return total.clamp(min=1) / processes()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean () of `values` where `mask`, of the same shape, is True; over processes as :func:`per_process` says."""
    return (values * mask).sum() / per_process(mask.sum())


def mean(values: dict[str, float]) -> dict[str, float]:
    """The mean over all processes."""
    if processes() == 1 or not values:
        return values
    total = torch.tensor(list(values.values()), dtype=torch.float64)
    if torch.cuda.is_available():
        total = total.cuda()
    dist.all_reduce(total)
    return dict(zip(values, (total / processes()).tolist(), strict=True))


def of_first(make: Callable[[], Value]) -> Value:
    """What the first process makes, for all; the others wait."""
    if processes() == 1:
        return make()
    found = [make() if rank() == 0 else None]
    dist.broadcast_object_list(found)
    return found[0]


def meet() -> None:
    """Wait until all processes are here."""
    if dist.is_initialized():
        with suppress(RuntimeError):  # another process has failed and says why
            dist.barrier()
