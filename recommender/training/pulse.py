"""How far a long epoch has come."""

import time
from collections.abc import Callable

from recommender.progress import Progress

SECONDS = 10.0
"""Least time between two lines."""


class Pulse:
    """A line every ten seconds at most, and no more than one for each tenth of an epoch; quick epochs have none.

    Where the length of an epoch isn't known, the time between two lines doubles.
    """

    def __init__(
        self, epoch: str, batches: int | None, progress: Progress, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._epoch, self._batches, self._progress, self._clock = epoch, batches, progress, clock
        self._begun = self._last = clock()
        self._wait, self._said = SECONDS, 0
        self._start: int | None = None

    def beat(self, batches: int, examples: int, loss: float, seconds: float) -> None:
        """Say something if it is time: after so many of the epoch's batches, with the mean loss of its examples."""
        now = self._clock()
        self._start = batches - 1 if self._start is None else self._start
        if now - self._last < self._wait:
            return
        line = f"{self._epoch}: "
        if self._batches is None:
            self._wait *= 2
            line += f"{batches:,} batches"
            left = ""
        else:
            tenths = min(9, 10 * batches // self._batches)
            if tenths == self._said:
                return
            self._said = tenths
            line += f"{min(99, 100 * batches // self._batches)} %"
            here = max(1, batches - self._start)
            remaining = round(max(0, self._batches - batches) * (now - self._begun) / here)
            left = f", {remaining // 60}:{remaining % 60:02} left"
        self._last = now
        self._progress(f"{line}, loss {loss:.4f}, {examples / seconds:,.0f} examples/s{left}")
