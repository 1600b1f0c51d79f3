"""What snapshots are computed from, read once and kept small: entities by number, events as a few integers each.

Everything is an Ibis expression on the connection's engine. Users and items are numbered in the order of their ids,
which makes grouping cheap and the numbers the same on every engine.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date

import ibis
import ibis.expr.types as ir

from recommender.columns import ITEM_ID, TS, USER_ID, WEIGHT
from recommender.data.dataset import SECONDS_A_DAY, night_end
from recommender.features.measures import Entity
from recommender.features.snapshots.engine import known_events_table, read_parquet
from recommender.features.snapshots.timeline import day_number
from recommender.storage.lake import Lake


@dataclass(frozen=True)
class World:
    """Tables of one build."""

    users: ir.Table
    """`user`, user_id and the columns of the users table."""
    items: ir.Table
    """`item`, item_id and the columns of the items table."""
    events: ir.Table
    """`user`, `item`, `day` since the epoch, `hour` UTC and `weight`; of listed users and items only."""
    first_day: int
    """Of the oldest event; the newest night where there is none."""
    weighted: bool
    """Whether any event weighs other than 1."""
    sizes: Mapping[Entity, int]
    """Users and items."""

    def entities(self, entity: Entity) -> ir.Table:
        return self.users if entity == "user" else self.items

    def values(self, column: str) -> ir.Table:
        """`item` and `value`, once each: the categories or creators of every item."""
        if column not in self.items.columns:
            return self.items.select("item", value=ibis.null("string")).limit(0)
        table = self.items.select("item", value=self.items[column])
        if table["value"].type().is_array():
            table = table.select("item", value=table["value"].unnest())
        return table.filter(table["value"].notnull()).distinct()

    def first_value(self, column: str) -> ir.Table:
        """`item` and `value`: the first category or creator of every item that has one."""
        if column not in self.items.columns:
            return self.items.select("item", value=ibis.null("string")).limit(0)
        table = self.items.select("item", value=first_of(self.items[column]))
        return table.filter(table["value"].notnull())


def read_world(connection: ibis.BaseBackend, kept: ExitStack, lake: Lake, last: date, known: date) -> World:
    """Users and items as the night `known` lists them, and the events up to the end of `last`.

    They are computed here and held by the engine until `kept` is closed.
    """
    users = _numbered(read_parquet(connection, [lake.latest("users", known)]), USER_ID, "user")
    items = _numbered(read_parquet(connection, [lake.latest("items", known)]), ITEM_ID, "item")
    users, items = (kept.enter_context(table.cache()) for table in (users, items))
    log = known_events_table(connection, lake, known)
    log = log.filter(log[TS] < ibis.literal(night_end(last).replace(tzinfo=None)))
    seconds = log[TS].epoch_seconds()
    day = seconds // SECONDS_A_DAY
    log = log.select(
        USER_ID,
        ITEM_ID,
        day=day.cast("int32"),
        hour=((seconds - day * SECONDS_A_DAY) // 3600).cast("int8"),
        weight=log[WEIGHT].cast("float64"),
    )
    joined = log.inner_join(users.select(USER_ID, "user"), USER_ID).inner_join(items.select(ITEM_ID, "item"), ITEM_ID)
    events = kept.enter_context(joined.select("user", "item", "day", "hour", "weight").cache())
    weighted = (events["weight"] != 1).any().fill_null(False)
    counts = events.aggregate(first=events["day"].min(), weighted=weighted).cross_join(
        users.aggregate(users=users.count()), items.aggregate(items=items.count())
    )
    [row] = counts.to_pyarrow().to_pylist()
    first_day = day_number(last) if row["first"] is None else int(row["first"])
    return World(users, items, events, first_day, row["weighted"], {"user": row["users"], "item": row["items"]})


def first_of(column: ir.Value) -> ir.Value:
    """A column's value, of a multi-valued one the first."""
    return column[0] if column.type().is_array() else column


def _numbered(table: ir.Table, key: str, number: str) -> ir.Table:
    return table.mutate(**{number: ibis.row_number().over(order_by=key).cast("int32")})
