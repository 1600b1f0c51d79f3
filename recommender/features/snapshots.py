"""Feature snapshots: one row an entity and night, computed for many nights in one pass over the events.

Days are integers since the epoch. A snapshot of night `s` counts what happened on days up to `s`. Each
entity's daily activity and its snapshot days form one stream, sorted by day; window functions over that
stream give every count at every snapshot day. The expressions are Ibis, so that they run on any engine that
Ibis compiles window functions for.
"""

from collections.abc import Iterable, Sequence
from datetime import date

import ibis
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa

from recommender.columns import CATEGORY, CREATOR, EVENT_TIMESTAMP, ITEM_ID, TS, USER_ID
from recommender.config.profile import Profile
from recommender.data.dataset import night_end
from recommender.data.events import known_events
from recommender.features.definitions import KEYS, Entity, Feature, declared_features
from recommender.storage.lake import Lake

_EPOCH = date(1970, 1, 1)


def snapshot_table(entity: Entity) -> str:
    """Name of the entity's table in the lake."""
    return f"{entity}_features"


def build_snapshots(lake: Lake, profile: Profile, entity: Entity, nights: Sequence[date], known: date) -> None:
    """Write the entity's snapshots of `nights` to the lake, in one pass over the events.

    `known` names the night whose users and items tables are used: entities that it doesn't list get no row.
    """
    if not nights:
        return
    connection = ibis.duckdb.connect()
    try:
        snapshots = _snapshots(connection, lake, profile, entity, nights, known)
        for night in nights:
            rows = snapshots.filter(snapshots["night"] == _day(night)).drop("night").order_by(KEYS[entity])
            lake.write(snapshot_table(entity), night, _stamped(rows.to_pyarrow(), night), {"nights": len(nights)})
    finally:
        connection.disconnect()


def _snapshots(
    connection: ibis.BaseBackend, lake: Lake, profile: Profile, entity: Entity, nights: Sequence[date], known: date
) -> ir.Table:
    """Key, `night` (day number) and the declared features, materialised once in the engine."""
    key = KEYS[entity]
    features = declared_features(profile, entity)
    entities = _first_values(connection.read_parquet(lake.latest(f"{entity}s", known), table_name="entities"))
    events = _events(connection, lake, max(nights), known)
    grid = ibis.memtable(pd.DataFrame({"night": [_day(night) for night in nights]})).mutate(
        night=lambda table: table["night"].cast("int32")
    )
    rows = entities.cross_join(grid)
    measured = [feature for feature in features if feature.measure != "attribute"]
    own = [feature for feature in measured if feature.measure != "creator_events"]
    if own:
        activity = _activity(events, key)
        stream = _at_nights(activity, entities.select(key).cross_join(grid), key)
        rows = rows.left_join(_measures(stream, own, key), [key, "night"]).drop(f"{key}_right", "night_right")
    for_creators = [feature for feature in measured if feature.measure == "creator_events"]
    if for_creators and CREATOR in entities.columns:
        creators = entities.select(CREATOR).filter(entities[CREATOR].notnull()).distinct()
        stream = _at_nights(_activity(events, CREATOR), creators.cross_join(grid), CREATOR)
        measures = _measures(stream, for_creators, CREATOR)
        rows = rows.left_join(measures, [CREATOR, "night"]).drop(f"{CREATOR}_right", "night_right")
    columns = {feature.name: _typed(rows, feature) for feature in features}
    # a table, not a view: the windows run once, however many nights are then cut out of it
    return connection.create_table("snapshots", rows.select(key, "night", **columns), temp=True)


def _first_values(table: ir.Table) -> ir.Table:
    """Of multi-valued columns the first value, null where there is none: features have one value an entity."""
    first = {name: table[name][0] for name, kind in table.schema().items() if kind.is_array()}
    return table.mutate(**first) if first else table


def _typed(rows: ir.Table, feature: Feature) -> ir.Value:
    if feature.name not in rows.columns:
        return ibis.null("float32" if feature.kind == "numeric" else "string")
    return rows[feature.name].cast("float32" if feature.kind == "numeric" else "string")


def _events(connection: ibis.BaseBackend, lake: Lake, last: date, known: date) -> ir.Table:
    """user_id, item_id, day, and the item's creator and category; only what `last` may know."""
    connection.raw_sql(f"create or replace temp view events as select * from {known_events(lake, known)}")
    events = connection.table("events")
    events = events.filter(events[TS] < ibis.literal(night_end(last).replace(tzinfo=None)))
    events = events.mutate(day=(events[TS].epoch_seconds() // 86_400).cast("int32"))
    items = _first_values(connection.read_parquet(lake.latest("items", known), table_name="catalogue"))
    taken = [name for name in (CREATOR, CATEGORY) if name in items.columns]
    joined = events.select(USER_ID, ITEM_ID, "day").inner_join(items.select(ITEM_ID, *taken), ITEM_ID)
    missing = {name: ibis.null("string") for name in (CREATOR, CATEGORY) if name not in taken}
    return joined.mutate(**missing) if missing else joined


def _activity(events: ir.Table, key: str) -> ir.Table:
    """One row an entity and day: events, and how many users, creators and categories were new to it."""
    day = events.filter(events[key].notnull()).group_by(key, "day").agg(events=ibis._.count())
    for name in _others(key):
        # a column counted once, on the day it first occurs with this entity
        first = (
            events.filter(events[name].notnull() & events[key].notnull())
            .group_by(key, name)
            .agg(day=ibis._["day"].min())
        )
        new = first.group_by(key, "day").agg(**{f"new_{name}": ibis._.count()})
        day = day.left_join(new, [key, "day"]).drop(f"{key}_right", "day_right")
    return day


def _others(key: str) -> tuple[str, ...]:
    return (CREATOR, CATEGORY) if key == USER_ID else (USER_ID,)


def _at_nights(activity: ir.Table, grid: ir.Table, key: str) -> ir.Table:
    """The entity's active days and its snapshot nights in one stream; nights count nothing."""
    counts = [name for name in activity.columns if name not in (key, "day")]
    days = activity.mutate(
        night=ibis.null("int32"), active_day=activity["day"], **{name: activity[name].fill_null(0) for name in counts}
    )
    nights = grid.mutate(
        day=grid["night"], active_day=ibis.null("int32"), **{name: ibis.literal(0, "int64") for name in counts}
    )
    columns = [key, "day", "night", "active_day", *counts]
    return days.select(columns).union(nights.select(columns))


def _measures(stream: ir.Table, features: Iterable[Feature], key: str) -> ir.Table:
    """Every feature at every night of the stream; an entity without events has no recency, and counts of 0."""
    so_far = ibis.window(group_by=key, order_by="day", range=(None, 0))
    columns = {}
    for feature in features:
        days = feature.window_days
        window = so_far if days is None else ibis.window(group_by=key, order_by="day", range=(1 - days, 0))
        match feature.measure:
            case "events" | "events_total" | "creator_events":
                value = stream["events"].sum().over(window)
            case "active_days":
                value = stream["active_day"].count().over(window)
            case "creators_total":
                value = stream[f"new_{CREATOR}"].sum().over(window)
            case "categories_total":
                value = stream[f"new_{CATEGORY}"].sum().over(window)
            case "users_total":
                value = stream[f"new_{USER_ID}"].sum().over(window)
            case "days_since_last_event":
                value = stream["day"] - stream["active_day"].max().over(window)
            case "tenure_days" | "days_since_first_event":
                value = stream["day"] - stream["active_day"].min().over(window)
            case unknown:
                raise ValueError(f"no expression for the measure {unknown!r}")
        columns[feature.name] = value
    measured = stream.mutate(**columns)
    return measured.filter(measured["night"].notnull()).select(key, "night", *columns)


def _day(night: date) -> int:
    return (night - _EPOCH).days


def _stamped(rows: pa.Table, night: date) -> pa.Table:
    """Insert the instant the snapshot stands for, as microseconds in UTC."""
    instant = pa.scalar(night_end(night).replace(tzinfo=None), pa.timestamp("us"))
    return rows.add_column(1, EVENT_TIMESTAMP, pa.repeat(instant, rows.num_rows))
