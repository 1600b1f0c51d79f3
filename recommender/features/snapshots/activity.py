"""What an entity did, summed by bucket: counts, hours, tastes, times of day. `windows.py` adds the buckets up."""

from collections.abc import Iterable, Sequence

import ibis
import ibis.expr.types as ir

from recommender.columns import DURATION
from recommender.features.definitions import Feature
from recommender.features.measures import DAYPARTS
from recommender.features.snapshots.timeline import Timeline, weekday
from recommender.features.snapshots.world import World

HOURS_A_DAYPART = 24 // len(DAYPARTS)
EXACT, EXACT_PRODUCT = "decimal(18, 9)", "decimal(28, 9)"
"""Types of summed numbers: sums of floats depend on the order of the rows, and the same night must give the same."""
LARGEST_VALUE = 999_999_999.0
"""Larger numbers of an item are taken as missing."""
LARGEST_WEIGHT = 1e6
"""Heavier events weigh this much, and negative ones nothing."""


def activity(world: World, timeline: Timeline, number: str, features: Sequence[Feature]) -> ir.Table:
    """`number`, `bucket` and the sums over the bucket that the features are made of, `first` and `last` day with them.

    `number` is the column that numbers the entity: `user` or `item`.
    """
    events = world.events.inner_join(timeline.calendar(), "day")
    columns = {name: _exact(world.items[name]) for name in item_columns(features)}
    if columns:
        events = events.inner_join(world.items.select("item", **columns), "item")
    sums: dict[str, ir.Value] = {"events": events.count(), "first": events["day"].min(), "last": events["day"].max()}
    for feature in features:
        match feature.family:
            case "active_days":
                sums["active_days"] = events["day"].nunique()
            case "hours":
                known = events[DURATION] >= 0  # nothing lasts less than no time
                sums["seconds"] = events[DURATION].sum(where=known)
                sums["timed"] = events[DURATION].count(where=known)
            case "taste":
                value = events[str(feature.of)]
                if world.weighted:
                    weight = events["weight"].clip(0, LARGEST_WEIGHT)
                    sums[f"value_{feature.of}"] = (value.cast("float64") * weight).cast(EXACT_PRODUCT).sum()
                    sums[f"weight_{feature.of}"] = weight.cast(EXACT_PRODUCT).sum(where=value.notnull())
                else:  # the same figures, several times faster
                    sums[f"value_{feature.of}"] = value.sum()
                    sums[f"weight_{feature.of}"] = value.count()
            case "weekend_share":
                sums["weekend"] = (weekday(events["day"]) >= 5).cast("int64").sum()
            case share if share.removesuffix("_share") in DAYPARTS:
                part = share.removesuffix("_share")
                quarter = events["hour"] // HOURS_A_DAYPART
                sums[f"in_{part}"] = (quarter == DAYPARTS.index(part)).cast("int64").sum()
            case _:
                pass
    return events.group_by(number, "bucket").agg(**sums)


def item_columns(features: Iterable[Feature]) -> list[str]:
    """Columns of the items that the sums are over."""
    names = [str(feature.of) for feature in features if feature.family == "taste"]
    names += [DURATION for feature in features if feature.family == "hours"]
    return sorted(set(names))


def creator_activity(world: World, timeline: Timeline, creators: ir.Table) -> ir.Table:
    """`creator`, `bucket` and `events` of all of a creator's items; `creators` gives each item its creator."""
    events = world.events.inner_join(timeline.calendar(), "day").inner_join(creators, "item")
    first, last = events["day"].min(), events["day"].max()
    return events.group_by("creator", "bucket").agg(events=events.count(), first=first, last=last)


def _exact(column: ir.Value) -> ir.Value:
    value = column.cast("float64")
    return (value.abs() <= LARGEST_VALUE).ifelse(value, ibis.null("float64")).cast(EXACT)
