"""The three tables of a draft: keys, further columns and side tables of each."""

from dataclasses import dataclass, replace

import duckdb

from recommender.columns import EVENT_TYPE, ITEM_ID, TS, USER_ID
from recommender.data.draft.columns import MOST_ROWS
from recommender.data.draft.mapping import Mapped, map_columns, time_spec
from recommender.data.draft.roles import Entity, Events, Seen, role_of
from recommender.data.draft.sides import Side, sides_of_events, sides_of_items, sides_of_users
from recommender.data.draft.text import flow, percent, scalar
from recommender.storage.duckdb_sql import quoted

_TWINS = 0.01
"""With more repeated events than this a column that tells them apart is looked for."""


@dataclass(frozen=True)
class Section:
    """One table of the profile."""

    name: str
    seen: Seen
    columns: tuple[Mapped, ...]
    """The keys first; unused ones are written as comments."""
    sides: tuple[Side, ...]
    why: str

    @property
    def lines(self) -> list[Mapped]:
        """Columns of the source and of its side tables."""
        return [*self.columns, *(line for side in self.sides for line in side.adds)]

    def has(self, name: str) -> bool:
        return any(line.name == name and line.used for line in self.lines)


def events_section(
    connection: duckdb.DuckDBPyConnection,
    events: Events,
    users: Entity | None,
    items: Entity | None,
    others: list[Seen],
) -> Section:
    """The events, with a type where one is needed to tell rows apart, and with weights where there are any."""
    keys = (
        Mapped(USER_ID, scalar(events.user), _how(events.user, users), events.user),
        Mapped(ITEM_ID, scalar(events.item), _how(events.item, items), events.item),
        _time_line(events),
    )
    ids = {events.user, events.item, *events.when.columns}
    mapped = map_columns("events", events.seen.columns.values(), ids)
    if not any(line.name == EVENT_TYPE and line.used for line in mapped):
        mapped = _told_apart(connection, events, mapped)
    sides = sides_of_events(connection, events, others, mapped)
    why = f"a time, {events.user} and {events.item} in each of {_rows(events.seen)}"
    return Section("events", events.seen, (*keys, *mapped), tuple(sides), why)


def users_section(connection: duckdb.DuckDBPyConnection, users: Entity, events: Events, others: list[Seen]) -> Section:
    """The users and what is known about them."""
    mapped = map_columns("users", users.seen.columns.values(), {users.key})
    sides = sides_of_users(connection, users, others, mapped)
    why = f"{percent(users.coverage)} of the events' {events.user} are here"
    key = Mapped(USER_ID, scalar(users.key), why, users.key)
    return Section("users", users.seen, (key, *_given_way(mapped, sides)), tuple(sides), why)


def items_section(connection: duckdb.DuckDBPyConnection, items: Entity, events: Events, others: list[Seen]) -> Section:
    """The items and what is known about them."""
    mapped = map_columns("items", items.seen.columns.values(), {items.key})
    sides = sides_of_items(connection, items, events, others, mapped)
    why = f"{percent(items.coverage)} of the events' {events.item} are here"
    key = Mapped(ITEM_ID, scalar(items.key), why, items.key)
    return Section("items", items.seen, (key, *_given_way(mapped, sides)), tuple(sides), why)


def _how(name: str, entity: Entity | None) -> str:
    if role_of(name):
        return "by its name"
    if entity is not None:
        return f"its values are keys of {entity.seen.table.path}"
    return "a guess: neither its name nor another table says so"


def _given_way(mapped: list[Mapped], sides: list[Side]) -> list[Mapped]:
    """A code whose text comes from a side table is no column of its own."""
    texts = {line.name for side in sides for line in side.adds}
    return [
        replace(line, used=False, why="the text of this code is taken instead") if line.name in texts else line
        for line in mapped
    ]


def _time_line(events: Events) -> Mapped:
    names = events.when.columns
    if events.when.form is None:
        parts = flow(**dict(zip(("year", "month", "day"), names, strict=True)))
        return Mapped(TS, f"{{parts: {parts}}}", "days in three columns", names[0])
    spec, why = time_spec(names[0], events.seen.columns[names[0]])
    return Mapped(TS, spec, why, names[0])


def _told_apart(connection: duckdb.DuckDBPyConnection, events: Events, mapped: list[Mapped]) -> list[Mapped]:
    """Where many rows share user, item and time, the column that tells most of them apart becomes the event's type."""
    key = ", ".join(quoted(name) for name in (events.user, events.item, *events.when.columns))
    relation = events.seen.table.relation

    def twins(columns: str) -> float:
        row = connection.execute(f"select 1 - count(distinct ({columns})) / count(*) from {relation}").fetchone()
        return float(row[0]) if row else 0.0

    before = twins(key)
    left = [line for line in mapped if not line.used]
    if before <= _TWINS or not left:
        return mapped
    best = min(left, key=lambda line: twins(f"{key}, {quoted(line.source)}"))
    if twins(f"{key}, {quoted(best.source)}") > before / 2:
        return mapped
    why = f"{before:.0%} of the rows repeat user, item and time; this tells them apart"
    line = Mapped(EVENT_TYPE, scalar(best.source), why, best.source)
    return [line, *(other for other in mapped if other is not best)]


def _rows(seen: Seen) -> str:
    return f"{'the first ' if seen.table.rows == MOST_ROWS else ''}{seen.table.rows:,} rows"
