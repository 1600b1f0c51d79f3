"""Measures that are sums over windows: an entity's buckets added up at every night.

An entity's buckets and its nights form one stream. Of many nights window functions over the stream, sorted by day,
give each sum at each night; of a single one a plain aggregation gives the same, many times faster.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import ibis
import ibis.expr.types as ir

from recommender.features.definitions import Feature
from recommender.features.measures import DAYPARTS
from recommender.features.snapshots.timeline import Timeline

SECONDS_AN_HOUR = 3600
DISTINCT = {"creators_total": "creator", "categories_total": "category", "users_total": "user"}
"""Of what a measure counts the different ones so far."""


def at_nights(
    sums: ir.Table,
    new: Mapping[str, ir.Table],
    timeline: Timeline,
    number: str,
    entities: ir.Table,
    features: Sequence[Feature],
) -> ir.Table:
    """`number`, `night` and every feature's value at that night, for every entity.

    Parameters
    ----------
    sums
        `number`, `bucket`, the sums over the bucket, and its `first` and `last` day with an event.
    new
        By name (`creator` and so on): `number`, `bucket` and `count` of those that occur for the first time.
    entities
        `number` of all who get a row.
    """
    for name, table in new.items():
        counted = table.select(number, "bucket", **{f"new_{name}": table["count"]})
        sums = sums.left_join(counted, [number, "bucket"]).drop(f"{number}_right", "bucket_right")
    names = [name for name in sums.columns if name not in (number, "bucket", "first", "last")]
    days = sums.select(
        number, "first", "last", night=ibis.null("int32"), day="bucket", **{name: _zero(sums[name]) for name in names}
    )
    kinds = days.schema()
    nights = entities.select(number).cross_join(timeline.grid())
    nights = nights.select(
        number,
        first=ibis.null("int32"),
        last=ibis.null("int32"),
        night="night",
        day="night",
        **{name: ibis.literal(0).cast(kinds[name]) for name in names},
    )
    stream = days.union(nights)
    if len(timeline.nights) == 1:
        [night] = timeline.nights
        columns = {feature.name: _value(_OneNight(stream, night), feature) for feature in features}
        return stream.group_by(number).agg(**columns).mutate(night=ibis.literal(night, "int32"))
    columns = {feature.name: _value(_ManyNights(stream, number), feature) for feature in features}
    measured = stream.mutate(**columns)
    return measured.filter(measured["night"].notnull()).select(number, "night", *columns)


class _Sums(Protocol):
    """A stream as seen from its nights."""

    @property
    def day(self) -> ir.Value:
        """The night itself."""

    def total(self, name: str, days: int | None) -> ir.Value:
        """Sum of a column over the last `days`, or over all."""

    def first(self) -> ir.Value:
        """Day of the first event; missing where there is none."""

    def last(self) -> ir.Value:
        """Day of the last event; missing where there is none."""


@dataclass(frozen=True)
class _ManyNights:
    stream: ir.Table
    number: str

    @property
    def day(self) -> ir.Value:
        return self.stream["day"]

    def total(self, name: str, days: int | None) -> ir.Value:
        return self.stream[name].sum().over(self._window(days))

    def first(self) -> ir.Value:
        return self.stream["first"].min().over(self._window(None))

    def last(self) -> ir.Value:
        return self.stream["last"].max().over(self._window(None))

    def _window(self, days: int | None) -> ibis.expr.builders.WindowBuilder:
        start = None if days is None else 1 - days
        return ibis.window(group_by=self.number, order_by="day", range=(start, 0))


@dataclass(frozen=True)
class _OneNight:
    stream: ir.Table
    night: int

    @property
    def day(self) -> ir.Value:
        return ibis.literal(self.night, "int32")

    def total(self, name: str, days: int | None) -> ir.Value:
        where = None if days is None else self.stream["day"] > self.night - days
        return self.stream[name].sum(where=where)

    def first(self) -> ir.Value:
        return self.stream["first"].min()

    def last(self) -> ir.Value:
        return self.stream["last"].max()


def _value(sums: _Sums, feature: Feature) -> ir.Value:
    days = feature.window_days

    def total(name: str) -> ir.Value:
        # a share's entity without events in the window has a sum all the same: its night's own row, which is 0
        return sums.total(name, days)

    match feature.family:
        case "events" | "events_total" | "creator_events":
            return total("events")
        case "active_days":
            return total("active_days")
        case "hours":
            # of events whose durations are all unknown nobody can say how long they took
            known = (total("timed") > 0) | (total("events") == 0)
            return known.ifelse(total("seconds").cast("float64") / SECONDS_AN_HOUR, ibis.null("float64"))
        case "taste":
            return _ratio(total(f"value_{feature.of}"), total(f"weight_{feature.of}"))
        case "weekend_share":
            return _ratio(total("weekend"), total("events"))
        case "creators_total" | "categories_total" | "users_total" as distinct:
            return total(f"new_{DISTINCT[distinct]}")
        case "days_since_last_event":
            return sums.day - sums.last()
        case "tenure_days" | "days_since_first_event":
            return sums.day - sums.first()
        case "is_new_release":
            return (sums.day - sums.first() < ibis.literal(days)).cast("int8")
        case share if share.removesuffix("_share") in DAYPARTS:
            return _ratio(total(f"in_{share.removesuffix('_share')}"), total("events"))
        case unknown:
            raise ValueError(f"no expression for the measure {unknown!r}")


def _ratio(part: ir.Value, whole: ir.Value) -> ir.Value:
    return (whole > 0).ifelse(part.cast("float64") / whole.cast("float64"), ibis.null("float64"))


def _zero(sums: ir.Value) -> ir.Value:
    kind = "decimal(38, 9)" if sums.type().is_decimal() else "int64"
    return sums.cast(kind).fill_null(ibis.literal(0).cast(kind))
