"""Which table holds the events, which the users and the items: told from names, keys and what covers what."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import duckdb

from recommender.data.draft.columns import ID_NAME, TIME_NAME, UNNAMED, Column
from recommender.data.draft.files import Table
from recommender.data.times import TimeForm
from recommender.storage.duckdb_sql import quoted

USER_WORDS = frozenset(
    "user member customer listener viewer reader account person visitor client player subscriber buyer who "
    "kunde nutzer usuario cliente utilisateur".split()
)
ITEM_WORDS = frozenset(
    "item track song artist album movie film book product article video game show episode podcast recipe course sku "
    "isbn asin what title restaurant venue place business hotel "
    "artikel produkt buch lied titel producto produit livre".split()
)
_EVENT_WORDS = frozenset("event rating play listen view click order purchase interaction log history review".split())
_BARE_KEYS = frozenset({"id", "key", "code", "uid", "uuid"})
_MANY = 10
_NAMED_COVERAGE = 0.5
"""Share of the events' ids that a table must have as keys when the names agree …"""
_UNNAMED_COVERAGE = 0.9
"""… and when only the values do: small whole numbers meet everywhere."""


@dataclass(frozen=True)
class Seen:
    """A table and its columns."""

    table: Table
    columns: dict[str, Column]


@dataclass(frozen=True)
class When:
    """Where the events' time is: one column, or year, month and day."""

    columns: tuple[str, ...]
    form: TimeForm | None
    """None for year, month and day."""


@dataclass(frozen=True)
class Entity:
    """The table of users or items, and how many of the events' ids it knows."""

    seen: Seen
    key: str
    coverage: float


@dataclass(frozen=True)
class Events:
    """The table of events and its columns that matter most."""

    seen: Seen
    user: str
    item: str
    when: When
    hinted: bool
    """Whether the names tell user and item apart; else the order of the columns had to."""


def base(name: str) -> str:
    """What a column or file is about: `user` of userID, user_id and users."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    text = ID_NAME.sub("", words).strip("_").lower() or name.lower()
    return text[:-3] + "y" if text.endswith("ies") and text != "movies" else text.removesuffix("s")


def role_of(name: str) -> str | None:
    """`user` or `item` where a name says so."""
    words = set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    words |= {word.removesuffix("s") for word in words} | {base(name)}
    if words & USER_WORDS:
        return "user"
    return "item" if words & ITEM_WORDS else None


def names_agree(foreign: str, key: str, table: Table) -> bool:
    """Whether a column names what another table's key does: `artistID` and `id` of artists."""
    if UNNAMED.fullmatch(foreign) or UNNAMED.fullmatch(key):
        return False
    if base(foreign) == base(key) and base(key) not in _BARE_KEYS:
        return True
    return key.lower() in _BARE_KEYS and base(foreign) == base(table.stem)


def find_events(tables: Iterable[Seen]) -> Events | None:
    """The table with a time, a user and an item in each row, and a user in several; the largest one of those."""
    found = [events for seen in tables for events in _as_events(seen)]
    return max(found, key=_likelihood, default=None)


def find_entity(
    connection: duckdb.DuckDBPyConnection, tables: Iterable[Seen], events: Events, role: str, taken: set[str]
) -> Entity | None:
    """The table whose key has the ids that the events name."""
    column = events.user if role == "user" else events.item
    others = [name for name in events.seen.columns if name != column]
    candidates = []
    for seen in tables:
        if seen is events.seen or seen.table.path in taken:
            continue
        for key in seen.columns.values():
            if not key.is_unique or key.time is not None or key.is_list:
                continue
            roles = {role_of(key.name), role_of(seen.table.stem)}
            named = names_agree(column, key.name, seen.table) or role in roles
            elsewhere = any(names_agree(other, key.name, seen.table) for other in others)
            if elsewhere or not (named or roles == {None}):
                continue
            covered = coverage(connection, (events.seen.table, column), (seen.table, key.name))
            if covered >= (_NAMED_COVERAGE if named else _UNNAMED_COVERAGE):
                candidates.append((named + covered, Entity(seen, key.name, covered)))
    return max(candidates, key=lambda pair: pair[0], default=(0.0, None))[1]


def coverage(
    connection: duckdb.DuckDBPyConnection,
    of: tuple[Table, str],
    by: tuple[Table, str],
    macro: str = "",
) -> float:
    """Share of the distinct values of one column that another column has; `macro` is applied to both."""
    (left, mine), (right, theirs) = of, by
    row = connection.execute(
        f"""select count(*) filter (where value in (select {_text(theirs, macro)} from {right.relation}
                                                    where {_text(theirs, macro)} is not null)) / greatest(1, count(*))
            from (select distinct {_text(mine, macro)} as value from {left.relation}) where value is not null"""
    ).fetchone()
    return float(row[0]) if row else 0.0


def _text(column: str, macro: str) -> str:
    value = f"nullif(trim(cast({quoted(column)} as varchar)), '')"
    return f"{macro}({value})" if macro else value


def _as_events(seen: Seen) -> Iterator[Events]:
    when = _when(seen)
    if when is None:
        return
    ids = [column for column in seen.columns.values() if _may_be_id(column, seen) and column.name not in when.columns]
    users = [column for column in ids if role_of(column.name) == "user"]
    items = [column for column in ids if role_of(column.name) == "item"]
    others = [column for column in ids if role_of(column.name) is None]
    others += [column for column in seen.columns.values() if _has_many_values(column) and column not in ids]
    hinted = bool(users and items)
    user = users[0] if users else next(iter(others), None)
    rest = [column for column in others if column is not user]
    rest.sort(key=lambda column: column.is_unique)  # a unique one is the key of the event itself
    item = max(items or rest[:1], key=lambda column: column.distinct, default=None)
    if user is None or item is None:
        return
    repeated = user.distinct < user.filled or item.distinct < item.filled
    entity = not hinted and (user.is_unique or item.is_unique)
    if (repeated or seen.table.rows == 1) and not entity:
        yield Events(seen, user.name, item.name, when, hinted)


def _may_be_id(column: Column, seen: Seen) -> bool:
    if column.time is not None or column.is_list or column.filled == 0:
        return False
    if column.is_number and not column.is_integer:
        return False
    if column.looks_like_id or role_of(column.name) is not None:
        return True
    return not seen.table.layout.header and column.distinct > 1


def _has_many_values(column: Column) -> bool:
    """Names nobody foresaw: rather many different values than a kind of event or a quantity."""
    return (
        column.time is None
        and not column.is_list
        and column.distinct >= _MANY
        and (column.is_integer or not column.is_number)
        and not TIME_NAME.search(column.name)
    )


def _when(seen: Seen) -> When | None:
    times = [column for column in seen.columns.values() if column.time is not None]
    if times:
        best = max(times, key=lambda column: (column.filled_share, column.distinct))
        return When((best.name,), best.time)
    named = {name.lower(): name for name, column in seen.columns.items() if column.is_integer}
    if {"year", "month", "day"} <= set(named):
        return When((named["year"], named["month"], named["day"]), None)
    return None


def _likelihood(events: Events) -> tuple[int, int, int]:
    words = set(re.split(r"[^a-z]+", events.seen.table.stem)) | {base(events.seen.table.stem)}
    return (int(events.hinted), int(bool(words & _EVENT_WORDS)), events.seen.table.rows)
