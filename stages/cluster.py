"""Calls on an existing Dask cluster, whose workers see this machine's folders under the same paths."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_S = 10
LOOK_S = 30.0  # between looks for workers, while no call returns
PATIENCE = "distributed.scheduler.no-workers-timeout"  # Dask's own setting
PATIENCE_S = 600.0  # where that is left open: a machine that starts anew is back by then, and a later run loses nothing


class ClusterError(ValueError):
    """The cluster cannot be used; the text says why, and what to start."""


def on_cluster(address: str, function: Callable[..., None], calls: Sequence[tuple]) -> Iterator[None]:
    """Call ``function(*call)`` on the cluster's workers, in this process' folder; yield as each returns.

    While there is no worker it says so now and then, and waits: as long as Dask's `no-workers-timeout` allows, else
    ten minutes.

    Raises:
        ClusterError: no scheduler, no worker for too long, or the scheduler went away.
        BrokenProcessPool: a call took down several workers, one after the other.
        Exception: whatever a call raised; calls not yet begun are given up.
    """
    from distributed import Client, KilledWorker
    from distributed.scheduler import NoValidWorkerError, NoWorkerError

    try:
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise ClusterError(f"no Dask scheduler answers at {address} (executor in params.yaml): {error}") from error
    with client:
        futures = [client.submit(_there, str(Path.cwd()), function, call, pure=False) for call in calls]
        try:
            for future in _as_completed(client, address, futures):
                if future.status in ("error", "cancelled"):
                    future.result()  # raises; of one that is done it would ask a worker, who may be gone by now
                future.release()  # or it is done again where its worker is lost
                yield
        except CancelledError as error:
            raise ClusterError(
                f"the Dask scheduler at {address} is gone; what was finished is kept: start it and its workers, "
                "and type the command again"
            ) from error
        except (NoWorkerError, NoValidWorkerError) as error:  # the scheduler's patience was the shorter one
            raise _no_worker(address, error.timeout) from error
        except KilledWorker as error:
            raise BrokenProcessPool(f"workers of {address} died: {error}") from error
        finally:
            client.cancel(futures)


def _as_completed(client: Client, address: str, futures: Sequence[Future]) -> Iterator[Future]:
    """Dask's own waits for workers for ever, and in silence."""
    from distributed import wait

    patience_s, waited_s, left = _patience_s(), 0.0, set(futures)
    while left:
        if client.scheduler_info(n_workers=1)["workers"]:
            waited_s = 0.0
        elif waited_s >= patience_s:
            raise _no_worker(address, waited_s)
        else:
            waits = f"no workers ({waited_s:.0f} of {patience_s:.0f} s)"
            print(f"the Dask scheduler at {address} has {waits}: start `dask worker {address}`", flush=True)
        try:
            with client.as_current():
                done, left = wait(left, timeout=LOOK_S, return_when="FIRST_COMPLETED")
        except TimeoutError:
            waited_s += LOOK_S
        else:
            yield from done


def _patience_s() -> float:
    import dask.utils

    setting = dask.config.get(PATIENCE, None)
    return PATIENCE_S if setting is None else dask.utils.parse_timedelta(setting)


def _no_worker(address: str, seconds: float) -> ClusterError:
    return ClusterError(
        f"the Dask scheduler at {address} has had no workers for {seconds:.0f} s; what was finished is kept: "
        f"start `dask worker {address}`, and type the command again"
    )


def _there(folder: str, function: Callable[..., None], call: tuple) -> None:
    with contextlib.chdir(folder):
        function(*call)
