"""Work done shard by shard, each finished shard kept under .work/ so that a killed stage goes on where it was.

A shard is identified by what goes into it: its items, the parameters and the code that makes it. Where shards are
worked on, in processes of this machine or on a Dask cluster, and by how many workers, changes no byte of them.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from stages.cluster import on_cluster
from stages.files import atomic_path, locked
from stages.params import ParamsError
from stages.progress import track

ROOT = Path(__file__).parents[1]
WORK = Path(".work")
PROCESSES = "processes"
PR_SET_PDEATHSIG = 1  # sys/prctl.h


def workers() -> int:
    """Processes to use: DREAMTALK_WORKERS, or one per core. It never changes a result.

    Raises:
        ParamsError: DREAMTALK_WORKERS is not a count.
    """
    given = os.environ.get("DREAMTALK_WORKERS", "").strip()
    if not given:
        return len(os.sched_getaffinity(0))
    if not given.isdecimal() or int(given) == 0:
        raise ParamsError(f"DREAMTALK_WORKERS is {given!r}: must be a count of processes above 0; unset, one per core")
    return int(given)


def code_version(*places: str | Path) -> str:
    """Digest of Python files, and of all those below folders, so that changed code does not reuse old shards.

    Args:
        places: files and folders, seen from the root of the repository.
    """
    digest = hashlib.sha256()
    for place in map(ROOT.joinpath, places):
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.relative_to(place.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def shard_key(*parts: Any) -> str:
    """Digest of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]


def split_in_shards(items: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def run_shards(
    function: Callable[..., None],
    jobs: Sequence[tuple],
    keys: Sequence[str],
    stage: str,
    *,
    executor: str = PROCESSES,
    isolate: bool = False,
    tidy: bool = True,
    weights: Sequence[float] | None = None,
) -> list[Path]:
    """Call ``function(folder, *job)`` for every job not done yet, in workers; return the jobs' folders.

    `function` must be importable by name and write all it makes into `folder`, which appears at its place only when
    the call has returned. Shards of earlier inputs, parameters or code are removed. Order and number of workers do not
    change what is written. One run at a time works on a stage; another one waits, and finds the shards done.

    Args:
        executor: "processes", or the address of a Dask scheduler ("tcp://host:8786") whose workers see this folder
            under the same path, and have the same packages.
        isolate: not even a single job runs in this process, which it might take down.
        tidy: remove all shards of the stage but these.
        weights: how much work each job is; the greatest begin first, so that no worker waits long for the last.

    Raises:
        BrokenProcessPool: a worker died (a crash in native code, or out of memory).
        ClusterError: no such scheduler, or it is left without workers for too long.
        Exception: whatever a job raised, once the jobs that were running have ended; finished jobs stay done.
    """
    folders = [WORK / stage / key for key in keys]
    with alone(stage):
        for left in (WORK / stage).glob(".*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
        missing = [i for i, folder in enumerate(folders) if not folder.exists()]
        if weights is not None:
            missing.sort(key=lambda i: -weights[i])
        todo = [(folders[i], jobs[i]) for i in missing]
        if len(todo) < len(jobs):
            print(f"{stage}: {len(jobs) - len(todo)} of {len(jobs)} shards are done already", flush=True)
        if todo:
            done = (
                in_workers(_into, [(folder, function, job) for folder, job in todo], isolate)
                if executor == PROCESSES
                else on_cluster(executor, _into, [(folder, _by_name(function), job) for folder, job in todo])
            )
            for _ in track(done, stage, total=len(todo), unit="shard"):
                pass
        if folders and tidy:
            _keep_only(stage, keys)
    return folders


def interrupted(stage: str, keys: Sequence[str]) -> list[str]:
    """Of `keys`, the shards that workers had begun when they died; to be asked before the stage's next run."""
    left = {path.name.split(".")[1] for path in (WORK / stage).glob(".*.tmp")}
    return [key for key in keys if key in left]


@contextmanager
def alone(stage: str) -> Iterator[None]:
    """Hold a stage's lock, so that two runs do not work on the same data; the second one waits, and says so."""
    WORK.joinpath(stage).mkdir(parents=True, exist_ok=True)
    waiting = f"{stage}: another run is working on the same data; waiting for it to end"
    with locked(WORK / f"{stage}.lock", waiting):
        yield


def _keep_only(stage: str, keys: Sequence[str]) -> None:
    """Remove the shards of earlier inputs, parameters or code."""
    kept = set(keys)
    for folder in (WORK / stage).iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def in_workers(function: Callable[..., Any], calls: Sequence[tuple], isolate: bool = False) -> Iterator[Any]:
    """What ``function(*call)`` returns for each call, as they end: in processes that end when this one does.

    With one worker, or a single call, it all happens here, unless it is to be isolated. Each computes on one thread.

    Raises:
        BrokenProcessPool: a worker died.
        Exception: whatever a call raised, once those that were running have ended.
    """
    with _one_thread_each():
        if not isolate and (workers() == 1 or len(calls) == 1):
            for call in calls:
                yield function(*call)
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers(), len(calls)), mp_context=context, initializer=obey) as pool:
            futures = [pool.submit(function, *call) for call in calls]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):  # who presses Ctrl-C does not want to wait for a long video
                    for worker in multiprocessing.active_children():
                        worker.kill()
                pool.shutdown(cancel_futures=True)
                raise


def obey() -> None:
    """First thing in a worker: Ctrl-C is the parent's business, and without a parent there is no work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()


def end_with_parent() -> None:
    """Have the system kill this process when its parent ends, however that ends; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let jobs compute on one thread, here and in workers: workers do not crowd each other out, and sums are added up
    in the same order however many workers there are."""
    before = os.environ.get("OMP_NUM_THREADS")
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    os.environ["OMP_NUM_THREADS"] = "1"
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
        if torch:
            torch.set_num_threads(threads)


def _by_name(function: Callable[..., None]) -> Callable[..., None]:
    """A function of the program that runs, as other machines can import it."""
    if function.__module__ != "__main__":
        return function
    return getattr(import_module(sys.modules["__main__"].__spec__.name), function.__name__)


def _into(folder: Path, function: Callable[..., None], job: tuple) -> None:
    try:
        with atomic_path(folder) as tmp:
            tmp.mkdir(parents=True)
            function(tmp, *job)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # a cluster may do a shard twice; the same key means the same bytes
            raise
