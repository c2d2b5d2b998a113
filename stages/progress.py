"""Progress of long work: a bar with rate and remaining time in a terminal, a plain line now and then otherwise."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
LINE_EVERY_S = 10.0


def track(items: Iterable[Item], label: str, total: int | None = None, unit: str = "clip") -> Iterator[Item]:
    """Yield `items`, showing how many are done, the rate and the time that remains."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    if sys.stderr.isatty():
        yield from tqdm(items, desc=label, total=total, unit=unit, dynamic_ncols=True)
        return
    start = shown = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - shown >= LINE_EVERY_S:
            shown = now
            print(_line(label, done, total, now - start, unit), flush=True)
    print(_line(label, done, done, time.monotonic() - start, unit), flush=True)


def _line(label: str, done: int, total: int | None, seconds: float, unit: str) -> str:
    rate = done / max(seconds, 1e-9)
    if not total or done >= total:
        return f"{label}: {done} {unit}s in {seconds:.0f} s ({rate:.1f} {unit}s/s)"
    remaining = (total - done) / max(rate, 1e-9)
    return f"{label}: {done}/{total} {unit}s, {rate:.1f} {unit}s/s, {remaining:.0f} s left"
