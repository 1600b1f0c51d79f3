"""Measures over what an entity's events have in common: categories, creators, users, hours and weekdays.

Events are counted by entity, value and bucket. A window's counts are sums of its buckets' counts, from which come the
number of different values, the most frequent one, and the diversity.
"""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir

from recommender.columns import CATEGORY, CREATOR
from recommender.features.definitions import Feature
from recommender.features.snapshots.timeline import Timeline, weekday
from recommender.features.snapshots.world import World

_GROUPED = {
    "creators": CREATOR,
    "top_creator": CREATOR,
    "categories": CATEGORY,
    "category_diversity": CATEGORY,
    "top_category": CATEGORY,
    "users": "user",
    "top_hour": "hour",
    "top_weekday": "weekday",
}


def grouping(feature: Feature) -> str | None:
    """By what a measure groups events; None for one that is not of this module."""
    return _GROUPED.get(feature.family)


def counts(world: World, timeline: Timeline, number: str, by: str) -> ir.Table:
    """`number`, `value`, `bucket` and `events`: how often an entity met a value."""
    events = world.events.inner_join(timeline.calendar(), "day")
    match by:
        case "hour" | "user":
            events = events.mutate(value=events[by])
        case "weekday":
            events = events.mutate(value=weekday(events["day"]) + 1)
        case _:
            numbers = value_numbers(world, by)
            carried = world.values(by).inner_join(numbers, "value").select("item", value="code")
            events = events.inner_join(carried, "item")
    grouped = events.group_by(number, "value", "bucket").agg(events=events.count())
    return grouped.mutate(value=grouped["value"].cast("int32"))


def value_numbers(world: World, column: str) -> ir.Table:
    """`value` and its `code`, numbered in the values' order."""
    values = world.values(column).select("value").distinct()
    return values.mutate(code=ibis.row_number().over(order_by="value").cast("int32"))


def first_meetings(met: ir.Table, number: str) -> ir.Table:
    """`number`, `bucket` and `count` of the values that an entity meets for the first time."""
    first = met.group_by(number, "value").agg(bucket=met["bucket"].min())
    return first.group_by(number, "bucket").agg(count=first.count())


def group_measures(
    world: World, met: ir.Table, timeline: Timeline, number: str, by: str, features: Sequence[Feature]
) -> ir.Table:
    """`number`, `night` and the features' values, for entities with an event in their window.

    Parameters
    ----------
    met
        What `counts` gives.
    """
    spans = timeline.spans({int(feature.window_days or 0) for feature in features})
    expanded = met.inner_join(spans, "bucket")
    windows = expanded.group_by(number, "night", "window", "value").agg(events=expanded["events"].sum().cast("int64"))
    whole = ibis.window(group_by=[number, "night", "window"])
    windows = windows.mutate(most=windows["events"].max().over(whole))
    columns = {}
    for feature in features:
        inside = windows["window"] == ibis.literal(feature.window_days)
        if feature.family.startswith("top_"):
            # of several most frequent ones the first in their order
            columns[feature.name] = windows["value"].min(where=inside & (windows["events"] == windows["most"]))
        elif feature.family.endswith("_diversity"):
            squares = (windows["events"] * windows["events"]).sum(where=inside).cast("float64")
            total = windows["events"].sum(where=inside).cast("float64")
            columns[feature.name] = 1 - squares / (total * total)
        else:
            columns[feature.name] = windows["value"].count(where=inside)
    result = windows.group_by(number, "night").agg(**columns)
    if by in (CREATOR, CATEGORY):
        numbers = value_numbers(world, by)
        for feature in features:
            if feature.family.startswith("top_"):
                names = numbers.select(**{feature.name: "code", "named": "value"})
                joined = result.left_join(names, feature.name).drop(f"{feature.name}_right")
                result = joined.drop(feature.name).rename({feature.name: "named"})
    return result
