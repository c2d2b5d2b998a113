"""Calls on an existing Dask cluster, whose workers see this machine's folders under the same paths."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

CONNECT_S = 10


class ClusterError(ValueError):
    """The cluster cannot be used; the text says why, and what to start."""


def on_cluster(address: str, function: Callable[..., None], calls: Sequence[tuple]) -> Iterator[None]:
    """Call ``function(*call)`` on the cluster's workers, in this process' folder; yield as each returns.

    Raises:
        ClusterError: no scheduler, no worker, or the scheduler went away.
        BrokenProcessPool: a call took down several workers, one after the other.
        Exception: whatever a call raised; calls not yet begun are given up.
    """
    from distributed import Client, KilledWorker, as_completed

    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ClusterError(f"no Dask scheduler answers at {address} (executor in params.yaml): {error}") from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise ClusterError(f"the Dask scheduler at {address} has no workers: start `dask worker {address}`")
        futures = [client.submit(_there, str(Path.cwd()), function, call, pure=False) for call in calls]
        try:
            for future in as_completed(futures, loop=client.loop):
                yield future.result()
        except CancelledError as error:
            raise ClusterError(
                f"the Dask scheduler at {address} is gone; what was finished is kept: {error}"
            ) from error
        except KilledWorker as error:
            raise BrokenProcessPool(f"workers of {address} died: {error}") from error
        finally:
            client.cancel(futures)


def _there(folder: str, function: Callable[..., None], call: tuple) -> None:
    with contextlib.chdir(folder):
        function(*call)
