"""Nights and windows as day numbers, so that one pass over the events gives many snapshots.

A window of `w` days of night `s` is `(s - w, s]`. Between two neighbouring boundaries, the nights and the starts of
their windows, nothing can tell one day from another: events are summed by these buckets, few for one night and at
most one a day for hundreds, and every window is a sum of whole buckets.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Timeline:
    """Some nights and the windows that end with them."""

    nights: tuple[int, ...]
    """Days since the epoch, ascending."""
    windows: tuple[int, ...]
    """Lengths in days, ascending."""
    first_day: int
    """No event is older."""

    @property
    def boundaries(self) -> list[int]:
        """Last days of the buckets, ascending."""
        starts = {night - window for night in self.nights for window in self.windows}
        return sorted({*self.nights, *(day for day in starts if day >= self.first_day)})

    def calendar(self) -> ir.Table:
        """`day`, `bucket`: the last day of the bucket a day lies in, for every day up to the last night."""
        boundaries, days = self.boundaries, range(self.first_day, self.nights[-1] + 1)
        rows = {"day": list(days), "bucket": [boundaries[bisect_left(boundaries, day)] for day in days]}
        return _small(rows, {"day": "int32", "bucket": "int32"})

    def spans(self, windows: Iterable[int]) -> ir.Table:
        """`bucket`, `window`, `night`: the buckets that make up each window of each night."""
        boundaries = self.boundaries
        rows = [
            (bucket, window, night)
            for window in sorted(windows)
            for night in self.nights
            for bucket in boundaries[bisect_left(boundaries, night - window + 1) : bisect_left(boundaries, night + 1)]
        ]
        buckets, lengths, nights = zip(*rows, strict=True) if rows else ((), (), ())
        names = ("bucket", "window", "night")
        return _small(
            dict(zip(names, map(list, (buckets, lengths, nights)), strict=True)), dict.fromkeys(names, "int32")
        )

    def grid(self) -> ir.Table:
        """`night`, one row each."""
        return _small({"night": list(self.nights)}, {"night": "int32"})


def day_number(day: date) -> int:
    """Days since the epoch."""
    return (day - _EPOCH).days


def weekday(day: ir.Value) -> ir.Value:
    """Of days since the epoch: 0 for Monday to 6 for Sunday."""
    return (day + 3) % 7  # day 0 was a Thursday


def chunks(nights: Sequence[date], size: int) -> Iterator[Sequence[date]]:
    """The nights in order, `size` at a time."""
    ordered = sorted(set(nights))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]


def _small(rows: dict[str, list[int]], schema: dict[str, str]) -> ir.Table:
    return ibis.memtable(pd.DataFrame(rows, dtype="int32"), schema=ibis.schema(schema))
