"""Feature snapshots: one row an entity and night, computed for many nights in one pass over the events.

A snapshot of night `s` knows what happened up to the end of `s`. The expressions are Ibis, so that they run on any
engine that Ibis compiles window functions for; `engine.py` says on which.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from recommender.columns import CREATOR, EVENT_TIMESTAMP
from recommender.config.profile import Profile
from recommender.data.dataset import night_end
from recommender.features.definitions import Feature, FeatureTable, columns_behind, feature_tables
from recommender.features.measures import ATTRIBUTE, ATTRIBUTE_AGE, KEYS, Entity, Kind
from recommender.features.provenance import facts_of
from recommender.features.snapshots.activity import activity, creator_activity
from recommender.features.snapshots.affinity import category_affinity
from recommender.features.snapshots.engine import feature_engine
from recommender.features.snapshots.groups import counts, first_meetings, group_measures, grouping
from recommender.features.snapshots.own import is_own, own_value
from recommender.features.snapshots.timeline import Timeline, chunks, day_number
from recommender.features.snapshots.titles import title_embedding
from recommender.features.snapshots.windows import DISTINCT, at_nights
from recommender.features.snapshots.world import World, read_world
from recommender.progress import Progress, quiet
from recommender.storage.lake import Lake

ROWS_AT_ONCE = 4_000_000
"""Entities times nights that are computed together: bounds the memory of a long history."""
_TYPES: dict[Kind, str] = {
    "numeric": "float32",
    "categorical": "string",
    "categories": "array<string>",
    "vector": "array<float32>",
}


def build_snapshots(
    lake: Lake, profile: Profile, todo: Mapping[str, Sequence[date]], known: date, progress: Progress = quiet
) -> None:
    """Write snapshots to the lake, all of them from one reading of the events.

    Parameters
    ----------
    todo
        By name of a table of `feature_tables`: its nights.
    known
        The night whose users and items tables are used: entities that they don't list get no row.
    """
    tables = feature_tables(profile)
    nights = [night for wanted in todo.values() for night in wanted]
    if not nights:
        return
    with feature_engine(profile.engine) as connection, ExitStack() as kept:
        world = read_world(connection, kept, lake, max(nights), known)
        for name, wanted in todo.items():
            largest = max(world.sizes.values())
            for part in chunks(wanted, max(1, ROWS_AT_ONCE // max(1, largest))):
                progress(f"{name} of {_nights(part)}")
                with ExitStack() as part_kept:
                    rows = _snapshots(world, part_kept, tables[name], part)
                    _write(lake, tables[name], part, rows, facts_of(_computed(world, tables[name]), known))


def _snapshots(world: World, kept: ExitStack, table: FeatureTable, nights: Sequence[date]) -> ir.Table:
    """Keys, `night` as a day number and the table's features, computed once and kept by the engine."""
    windows = {feature.window_days for feature in table.features if feature.window_days}
    numbers = tuple(sorted(day_number(night) for night in nights))
    # a year of nights without events before the first is as good as any number of them
    timeline = Timeline(numbers, tuple(sorted(windows)), min(world.first_day, numbers[0]))
    entity = _entity_of(table)
    if entity is None:
        rows = category_affinity(world, timeline, table.keys[0], table.features)
    else:
        rows = _entity_rows(world, kept, timeline, entity, _computed(world, table).features)
    columns = {feature.name: _typed(rows, feature) for feature in table.features}
    return kept.enter_context(rows.select(*table.keys, "night", **columns).cache())


def _entity_rows(
    world: World, kept: ExitStack, timeline: Timeline, entity: Entity, features: Sequence[Feature]
) -> ir.Table:
    """Every entity at every night, with its own columns and the measures."""
    grid = world.entities(entity).cross_join(timeline.grid())
    rows = grid.mutate(**{feature.name: own_value(grid, feature) for feature in features if is_own(feature)})
    for feature in features:
        if feature.kind == "vector":
            vectors = title_embedding(world, int(feature.width or 0))
            rows = _joined(rows, vectors.rename({feature.name: "vector"}), [entity])
    measures = [feature for feature in features if not is_own(feature)]
    for measured in _measured(world, kept, timeline, entity, measures):
        rows = _joined(rows, measured, [entity, "night"])
    by_creator = [feature for feature in features if feature.family == "creator_events"]
    if by_creator:
        creators = world.first_value(CREATOR).rename(creator="value")
        everyone = creators.select("creator").distinct()
        sums = creator_activity(world, timeline, creators)
        values = at_nights(sums, {}, timeline, "creator", everyone, by_creator)
        rows = _joined(rows, creators.inner_join(values, "creator").drop("creator"), [entity, "night"])
    return rows


def _measured(
    world: World, kept: ExitStack, timeline: Timeline, entity: Entity, features: Sequence[Feature]
) -> list[ir.Table]:
    """Tables of the entity's number, `night` and some features each."""
    grouped = {feature.name: by for feature in features if (by := grouping(feature)) is not None}
    summed = [
        feature
        for feature in features
        if feature.name not in grouped and feature.kind != "vector" and feature.family != "creator_events"
    ]
    distinct = {DISTINCT[feature.family] for feature in summed if feature.family in DISTINCT}
    groups = sorted({*grouped.values(), *distinct})
    met = {by: kept.enter_context(counts(world, timeline, entity, by).cache()) for by in groups}
    found = []
    if summed:
        new = {by: first_meetings(met[by], entity) for by in sorted(distinct)}
        sums = activity(world, timeline, entity, summed)
        found.append(at_nights(sums, new, timeline, entity, world.entities(entity), summed))
    for by in sorted(set(grouped.values())):
        chosen = [feature for feature in features if grouped.get(feature.name) == by]
        found.append(group_measures(world, met[by], timeline, entity, by, chosen))
    return found


def _entity_of(table: FeatureTable) -> Entity | None:
    return next((entity for entity, key in KEYS.items() if table.keys == (key,)), None)


def _computed(world: World, table: FeatureTable) -> FeatureTable:
    """The table's features whose columns the lake has; all of another is missing, as its tables may be older than
    the profile. A snapshot claims no version of those, so that it is built again once the columns are there.
    """
    entity = _entity_of(table)
    if entity is None:
        complete = table.keys[0] in world.users.columns and table.keys[1] in world.items.columns
        return table if complete else replace(table, features=())
    return replace(table, features=tuple(feature for feature in table.features if _available(world, entity, feature)))


def _available(world: World, entity: Entity, feature: Feature) -> bool:
    if feature.measure in (ATTRIBUTE, ATTRIBUTE_AGE):
        return feature.of in world.entities(entity).columns
    return set(columns_behind(feature)) <= set(world.items.columns)


def _joined(rows: ir.Table, more: ir.Table, keys: list[str]) -> ir.Table:
    return rows.left_join(more, keys).drop(*(f"{key}_right" for key in keys))


def _typed(rows: ir.Table, feature: Feature) -> ir.Value:
    kind = _TYPES[feature.kind]
    if feature.name not in rows.columns:
        return ibis.null(kind)
    value = rows[feature.name].cast(kind)
    # who had no event in a window is in none of its groups
    return value.fill_null(0) if grouping(feature) and feature.kind == "numeric" and feature.high is None else value


def _write(lake: Lake, table: FeatureTable, nights: Sequence[date], rows: ir.Table, facts: dict[str, object]) -> None:
    for night in nights:
        one = rows.filter(rows["night"] == day_number(night)).drop("night").to_pyarrow()
        # sorted here: to Spark an order is two more jobs a night
        one = one.sort_by([(key, "ascending") for key in table.keys])
        lake.write(table.name, night, _stamped(one, len(table.keys), night), facts)


def _stamped(rows: pa.Table, place: int, night: date) -> pa.Table:
    """Insert the instant the snapshot stands for, as microseconds in UTC."""
    instant = pa.scalar(night_end(night).replace(tzinfo=None), pa.timestamp("us"))
    return rows.add_column(place, EVENT_TIMESTAMP, pa.repeat(instant, rows.num_rows))


def _nights(nights: Sequence[date]) -> str:
    return str(nights[0]) if len(nights) == 1 else f"{len(nights)} nights up to {max(nights)}"
