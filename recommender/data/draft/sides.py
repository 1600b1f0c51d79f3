"""Side tables: look-ups by code, further attributes by key, names that meet by their text, and tags of events."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import duckdb

from recommender.columns import CATEGORY, CREATOR, DURATION, TITLE, WEIGHT
from recommender.data.draft.columns import Column
from recommender.data.draft.mapping import Mapped, is_milliseconds, map_columns, reference, snake
from recommender.data.draft.roles import Entity, Events, Seen, base, coverage, names_agree
from recommender.data.draft.text import flow, percent
from recommender.storage.duckdb_sql import quoted

_CODES_KNOWN = 0.5
"""Share of a column's codes that a look-up must have."""
_NAMES_KNOWN = 0.1
"""Share of the titles that a table of another origin must have to be worth a join."""
_TAGS_KEPT = 5


@dataclass(frozen=True)
class Side:
    """A join, and what it adds to the columns of its owner."""

    name: str
    seen: Seen
    on: dict[str, str]
    columns: dict[str, str]
    why: str
    adds: tuple[Mapped, ...] = ()
    joins: "tuple[Side, ...]" = ()


def sides_of_items(
    connection: duckdb.DuckDBPyConnection, items: Entity, events: Events, others: list[Seen], mapped: list[Mapped]
) -> list[Side]:
    """Joins for the items table; a name that is `mapped` is not added again, but a code gives way to its text."""
    known = list(mapped)
    found: list[Side] = []
    for seen in others:
        side = _by_code(connection, items.seen, items.key, seen, "items", known) or _by_text(
            connection, items.seen, mapped, seen, known
        )
        if side is not None:
            found.append(side)
            known += side.adds
    if not any(line.name == CATEGORY and line.used for line in known):
        found += _tags(connection, items, events, others)
    return found


def sides_of_users(
    connection: duckdb.DuckDBPyConnection, users: Entity, others: list[Seen], mapped: list[Mapped]
) -> list[Side]:
    """Joins for the users table."""
    sides = (_by_code(connection, users.seen, users.key, seen, "users", mapped) for seen in others)
    return [side for side in sides if side is not None]


def sides_of_events(
    connection: duckdb.DuckDBPyConnection, events: Events, others: list[Seen], mapped: list[Mapped]
) -> list[Side]:
    """Weights that are kept apart from the events: a table with one row a user and item."""
    if any(line.name == WEIGHT and line.used for line in mapped):
        return []
    for seen in others:
        user, item = _same(events.user, seen), _same(events.item, seen)
        if user is None or item is None:
            continue
        pairs = connection.execute(
            f"select count(distinct ({quoted(user)}, {quoted(item)})) from {seen.table.relation}"
        ).fetchone()
        left = [column for column in seen.columns.values() if column.name not in (user, item)]
        weights = [line for line in map_columns("events", left, set()) if line.name == WEIGHT]
        if pairs and pairs[0] == seen.table.rows and weights:
            name = seen.table.stem
            column = seen.columns[weights[0].source]
            spec = flow(sql=f"ln(1 + {name}.{WEIGHT})" if column.high and column.high > 100 else f"{name}.{WEIGHT}")
            line = replace(weights[0], spec=spec, why=f"{seen.table.path}, {weights[0].why}")
            on = {reference(events.user): reference(user), reference(events.item): reference(item)}
            why = "one row a user and item"
            return [Side(name, seen, on, {WEIGHT: _aggregate(column, "number")}, why, (line,))]
    return []


def _by_code(
    connection: duckdb.DuckDBPyConnection, owner: Seen, own_key: str, seen: Seen, table: str, mapped: list[Mapped]
) -> Side | None:
    """A table whose key is a column of the owner: a look-up of that code, or more about the owner's own key."""
    for key in (column for column in seen.columns.values() if column.is_unique):
        for column in owner.columns.values():
            if column.time is not None or not names_agree(column.name, key.name, seen.table):
                continue
            known = coverage(connection, (owner.table, column.name), (seen.table, key.name))
            if known < _CODES_KNOWN:
                continue
            lines = map_columns(table, [other for other in seen.columns.values() if other is not key], set())
            if column.name != own_key:
                lines = _instead_of_code(lines, base(column.name), table)
            taken = {line.name for line in mapped if line.used and line.source != column.name}
            side = _side(seen, [line for line in lines if line.name not in taken], known)
            if side is not None:
                why = f"{percent(known)} of the {column.name} are there"
                return replace(side, on={reference(column.name): reference(key.name)}, why=why)
    return None


def _instead_of_code(lines: list[Mapped], about: str, table: str) -> list[Mapped]:
    """The text of a code stands for what the code is about: the name of a genre is the category."""
    column = Column(about, "VARCHAR", 2, 2, 2, 0, 0, None, None, ("a", "b"))
    wanted = map_columns(table, [column], set())[0].name
    texts = [line for line in lines if line.kind == "text" and (line.used or line.name == TITLE)]
    text = min(texts, key=lambda line: line.name != TITLE, default=None)
    return [
        replace(line, name=wanted, used=True) if line is text else replace(line, name=f"{about}_{line.name}")
        for line in lines
    ]


def _by_text(
    connection: duckdb.DuckDBPyConnection, owner: Seen, mapped: list[Mapped], seen: Seen, known: list[Mapped]
) -> Side | None:
    """Tables of another origin that speak of the same titles, and of the same creators where both tell them."""
    mine = {line.name: line.source for line in mapped if line.used and line.name in (TITLE, CREATOR)}
    theirs = {line.name: line.source for line in map_columns("items", seen.columns.values(), set())}
    if TITLE not in mine:
        return None
    same = [name for name in theirs.values() if base(name) == base(owner.table.stem)]  # artists meet an artist column
    if same:
        theirs = {TITLE: same[0]}
    shared = {
        mine[name]: theirs[name]
        for name in (TITLE, CREATOR)
        if name in mine and name in theirs and not owner.columns[mine[name]].is_integer
    }
    if mine[TITLE] not in shared:
        return None
    met = coverage(connection, (owner.table, mine[TITLE]), (seen.table, shared[mine[TITLE]]), "fold")
    taken = {line.name for line in known if line.used}
    lines = map_columns("items", [column for column in seen.columns.values() if column.is_number], set())
    side = _side(seen, [line for line in lines if line.name not in taken], met)
    if met < _NAMES_KNOWN or side is None:
        return None
    on = {f"fold({reference(left)})": f"fold({reference(right)})" for left, right in shared.items()}
    return replace(side, on=on, why=f"{met:.0%} of the {mine[TITLE]} meet by text; averages where several do")


def _side(seen: Seen, lines: list[Mapped], known: float) -> Side | None:
    """A join that gives these columns to a share of the rows; their specs become expressions over it."""
    adds, given = [], {}
    for line in lines:
        if not line.used:
            continue
        column = seen.columns[line.source]
        short = snake(line.source)
        scale = " / 1000" if line.name == DURATION and is_milliseconds(line.source) else ""
        given[short] = _aggregate(column, line.kind) + scale
        entries: dict[str, object] = {"sql": f"{seen.table.stem}.{short}"}
        if line.kind == "list" and column.separator:
            entries["separator"] = column.separator
        elif line.kind in ("number", "integer", "list"):
            entries["type"] = "number" if line.kind == "integer" else line.kind
        why = ", ".join(filter(None, (seen.table.path, line.why)))
        adds.append(replace(line, spec=flow(**entries), why=why, filled_share=known * line.filled_share))
    return Side(seen.table.stem, seen, {}, given, "", tuple(adds)) if adds else None


def _tags(
    connection: duckdb.DuckDBPyConnection, items: Entity, events: Events, others: Iterable[Seen]
) -> Iterator[Side]:
    """What an item is tagged with most often, where events carry the code of a tag."""
    codes = [
        column
        for column in events.seen.columns.values()
        if column.looks_like_id and column.name not in (events.user, events.item)
    ]
    for column in codes:
        for seen in others:
            keys = [key.name for key in seen.columns.values()
                    if key.is_unique and names_agree(column.name, key.name, seen.table)]  # fmt: skip
            texts = [text.name for text in seen.columns.values() if not text.is_number and text.name not in keys]
            if not keys or not texts:
                continue
            if coverage(connection, (events.seen.table, column.name), (seen.table, keys[0])) < _CODES_KNOWN:
                continue
            lookup = Side(
                seen.table.stem, seen, {reference(column.name): reference(keys[0])},
                {snake(texts[0]): f"min({reference(texts[0])})"}, "",
            )  # fmt: skip
            value = f"lower({lookup.name}.{snake(texts[0])})"
            most = (
                f"list_transform(list_sort(list_transform(map_entries(histogram({value})), "
                f"lambda e: (-cast(e.value as bigint), e.key)))[:{_TAGS_KEPT}], lambda e: e[2])"
            )
            name = f"{events.seen.table.stem}_{lookup.name}"
            why = f"the {_TAGS_KEPT} most frequent {base(column.name)}s of each {base(events.item)}"
            line = Mapped(CATEGORY, flow(sql=f"{name}.{lookup.name}", type="list"), why, column.name, True, "list")
            on = {reference(items.key): reference(events.item)}
            yield Side(name, events.seen, on, {lookup.name: most}, why, (line,), (lookup,))
            return


def _same(name: str, seen: Seen) -> str | None:
    return next((other for other in seen.columns if base(other) == base(name) and other != "id"), None)


def _aggregate(column: Column, kind: str) -> str:
    """The rows of a side table that share a key are grouped; texts take the first in order, so that nights agree."""
    name = reference(column.name)
    if kind in ("number", "integer"):
        return f"avg({name})" if column.native not in ("VARCHAR",) else f"avg(try_cast({name} as double))"
    return f"min({name})"
