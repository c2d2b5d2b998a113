"""What a training tells of itself between two points of its curves: means of losses, and where the time went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor


class Clock:
    """Where the time of the last steps went."""

    def __init__(self, step: int) -> None:
        self._step, self._start, self._waited = step, time.perf_counter(), 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._waited += time.perf_counter() - start

    def take(self, step: int) -> dict[str, float]:
        """Of the steps since the last call; the first time, of those since the start of this process."""
        now = time.perf_counter()
        spent, count = now - self._start, max(1, step - self._step)
        found = {"time/loader_share": self._waited / spent, "time/step_s": spent / count}
        self._step, self._start, self._waited = step, now, 0.0
        return found


class Means:
    """Means of what the last steps gave, kept on the device until they are asked for."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach().float()
        self._count += 1

    def take(self) -> dict[str, float]:
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        self.__init__()
        return means
