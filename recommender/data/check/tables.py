"""Figures of one source table. Its rows are read once into the working database, and judged as ingest would."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from recommender.columns import AGE, ENTITY_KEYS, ITEM_ID, TS, USER_ID, WEIGHT
from recommender.config.profile import Profile, personal_columns
from recommender.config.source import Source
from recommender.data.check.report import ColumnFigures, File, TableFigures, TimeProbe
from recommender.data.judgement import (
    PLAUSIBLE_AGES,
    entity_reason,
    event_columns,
    event_reason,
    twin_hash,
)
from recommender.data.sources import collect_unparsable, open_source, out_of_range
from recommender.data.sources.files import find_files
from recommender.data.times import recognise
from recommender.errors import SourceError
from recommender.storage.duckdb_sql import one_line, quoted

_TOP_VALUES = 5
_EXAMPLES = 3
_SAMPLED_TIMES = 500
_TRUSTED_TIMES = 0.99
_LONGEST_SHOWN = 40
_TYPES = {"number": "float", "integer": "integer"}


@dataclass(frozen=True)
class _Working:
    """The working database and what is read into it: table `checked_<table>` with the canonical columns and reason."""

    connection: duckdb.DuckDBPyConnection
    profile: Profile
    table: str
    data: Path

    @property
    def source(self) -> Source:
        source: Source = getattr(self.profile, self.table)
        return source

    def rows(self, query: str, parameters: list[object] | None = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, parameters or []).fetchall()

    def number(self, query: str) -> int:
        return int(self.rows(query)[0][0] or 0)


def read_table(
    connection: duckdb.DuckDBPyConnection, profile: Profile, table: str, data: Path, known: set[str]
) -> TableFigures:
    """Read, judge and measure a table; `known` names the entity tables that events can be compared with.

    Leaves tables `checked_<table>` and, for users and items, `known_<table>`.

    Raises
    ------
    SourceError
        The source is missing, unreadable, or lacks a column.
    """
    working = _Working(connection, profile, table, data)
    try:
        open_source(connection, profile, table, data)
        rejected = _read_entities(working) if table in ENTITY_KEYS else _read_events(working, known)
        figures = _figures(working, rejected)
    except duckdb.Error as error:
        raise SourceError(f"cannot read {table} ({working.source.place}): {one_line(error)}") from None
    return figures


def odd_ages(connection: duckdb.DuckDBPyConnection, profile: Profile) -> int:
    """How many users have an age that nobody has."""
    if profile.users is None or AGE not in profile.users.columns:
        return 0
    low, high = PLAUSIBLE_AGES
    query = f"select count(*) from checked_users where {AGE} not between {low} and {high}"
    return _Working(connection, profile, "users", Path()).number(query)


def time_probes(
    connection: duckdb.DuckDBPyConnection, profile: Profile, tables: list[TableFigures]
) -> Iterator[TimeProbe]:
    """How the source writes the times of columns where too many of them can't be used."""
    for table in tables:
        source: Source = getattr(profile, table.table)
        for column in (column for column in table.columns if column.type == "time"):
            spec = source.columns[column.name]
            unusable = column.unreadable
            if (table.table, column.name) == ("events", TS):
                unusable = sum(count for reason, count in table.rejected.items() if reason.endswith(f" {TS}"))
            if spec.column is None or unusable <= (1 - _TRUSTED_TIMES) * max(1, table.rows):
                continue
            values = connection.execute(
                f"select cast({quoted(spec.column)} as varchar) from {table.table}_source "
                f"where {quoted(spec.column)} is not null limit {_SAMPLED_TIMES}"
            ).fetchall()
            form = recognise(value for (value,) in values)
            declared = form is not None and (form.unit, form.format) == (spec.unit, spec.format)
            yield TimeProbe(table.table, column.name, spec.column, None if declared else form, declared)


def _read_entities(working: _Working) -> dict[str, int]:
    table, key = working.table, ENTITY_KEYS[working.table]
    names = ", ".join(quoted(name) for name in working.source.columns)
    working.connection.execute(
        f"create or replace temp table checked_{table} as select {names}, {entity_reason(key)} as reason from {table}"
    )
    working.connection.execute(
        f"create or replace temp table known_{table} as select distinct {key} from checked_{table} where reason is null"
    )
    rejected = _reasons(working)
    good = working.number(f"select count(*) from checked_{table} where reason is null")
    twins = good - working.number(f"select count(*) from known_{table}")
    return {**rejected, f"duplicate {key}": twins} if twins else rejected


def _read_events(working: _Working, known: set[str]) -> dict[str, int]:
    # an entity table that can't be read is told by itself, and must not make every event an orphan
    comparable = {table: None for table in ENTITY_KEYS if table not in known}
    profile = working.profile.model_copy(update=comparable)
    working.connection.execute(
        f"create or replace temp table checked_events as select *, {event_reason(profile)} as reason "
        f"from (select {', '.join([*event_columns(working.profile), _unweighted(working)])} from events)"
    )
    working.connection.execute(  # by hash first: a table of hashes is small; then exactly
        f"""create or replace temp table twins as
            with suspects as (
                select {twin_hash()} as twin from checked_events where reason is null
                group by twin having count(*) > 1)
            select user_id, item_id, ts, event_type, count(*) - 1 as extra
            from checked_events where reason is null and {twin_hash()} in (select twin from suspects)
            group by all having count(*) > 1"""
    )
    twins = working.number("select sum(extra) from twins")
    rejected = _reasons(working)
    return {**rejected, "duplicate": twins} if twins else rejected


def _unweighted(working: _Working) -> str:
    """Whether an event had no weight of its own; in the lake it then counts 1."""
    return f"{f'{WEIGHT} is null' if WEIGHT in working.source.columns else 'false'} as unweighted"


def _reasons(working: _Working) -> dict[str, int]:
    return dict(
        working.rows(
            f"select reason, count(*) from checked_{working.table} where reason is not null "
            "group by reason order by count(*) desc, reason"
        )
    )


def _figures(working: _Working, rejected: dict[str, int]) -> TableFigures:
    table = working.table
    collect_unparsable(working.connection, table)
    lines = working.number(f"select count(*) from {table}_unparsable")
    first = working.rows(f"select reason from {table}_unparsable order by length(reason), reason limit {_EXAMPLES}")
    parsed = working.number(f"select count(*) from checked_{table}")
    if lines:
        rejected = {**rejected, "unparsable": lines}
    return TableFigures(
        table=table,
        place=working.source.place,
        files=_files(working),
        rows=parsed + lines,
        kept=parsed + lines - sum(rejected.values()),
        rejected=rejected,
        columns=_columns(working, parsed),
        unparsable=tuple(_shortened(reason, 160) for (reason,) in first),
    )


def _files(working: _Working) -> tuple[File, ...]:
    """Of files on this machine; of what is elsewhere there is only the place."""
    source, data = working.source, working.data
    if source.path is None:
        return ()
    found = [file.local for file in find_files(source, data, f"{working.table}.path") if file.local is not None]
    return tuple(
        File(str(file.relative_to(data) if file.is_relative_to(data) else file), file.stat().st_size) for file in found
    )


def _columns(working: _Working, rows: int) -> tuple[ColumnFigures, ...]:
    """Missing values of every column in one pass; what else there is to say only where it is asked for."""
    names = list(working.source.columns)
    if not names:
        return ()
    filled = [
        "count(*) filter (not unweighted)" if (working.table, name) == ("events", WEIGHT) else f"count({quoted(name)})"
        for name in names
    ]
    counts = working.rows(f"select {', '.join(filled)} from checked_{working.table}")[0]
    outside = out_of_range(working.connection, working.profile, working.table)
    personal = personal_columns(working.profile, working.table)
    return tuple(
        _column(working, name, rows, rows - int(count), outside.get(name, 0), name in personal)
        for name, count in zip(names, counts, strict=True)
    )


def _column(working: _Working, name: str, rows: int, missing: int, out_of_bounds: int, personal: bool) -> ColumnFigures:
    kind = "text" if name in (USER_ID, ITEM_ID) else working.source.type_of(name)
    unreadable, examples = _unreadable(working, name, kind, rows - missing, out_of_bounds) if missing else (0, ())
    distinct, top = _distinct(working, name, kind)
    hidden = personal or name in (USER_ID, ITEM_ID)
    return ColumnFigures(
        name=name,
        type=kind,
        personal=personal,
        rows=rows,
        missing=missing,
        unreadable=unreadable,
        out_of_range=out_of_bounds,
        distinct=distinct,
        top=() if hidden else top,
        examples=() if hidden else examples,
    )


def _unreadable(
    working: _Working, name: str, kind: str, filled: int, out_of_bounds: int
) -> tuple[int, tuple[str, ...]]:
    """Values that the source has and the canonical column has not, though they are not out of range."""
    column = working.source.columns[name].column
    if column is None or kind in ("text", "list"):
        return 0, ()
    text = f"nullif(trim(cast({quoted(column)} as varchar)), '')"
    there = working.number(f"select count({text}) from {working.table}_source")
    unreadable = max(0, there - filled - out_of_bounds)
    if not unreadable or kind not in _TYPES:
        return unreadable, ()
    found = working.rows(
        f"select distinct {text} as value from {working.table}_source "
        f"where {text} is not null and try_cast({text} as {_TYPES[kind]}) is null order by value limit {_EXAMPLES}"
    )
    return unreadable, tuple(_shortened(value) for (value,) in found)


def _distinct(working: _Working, name: str, kind: str) -> tuple[int | None, tuple[tuple[str, int], ...]]:
    """Of texts; the ids and times of events are told by the figures of the events."""
    if kind not in ("text", "list") or (working.table == "events" and name in (USER_ID, ITEM_ID)):
        return None, ()
    value = f"unnest({quoted(name)})" if kind == "list" else quoted(name)
    grouped = (
        f"(select value, count(*) as n from (select {value} as value from checked_{working.table}) "
        "where value is not null group by value)"
    )
    distinct = working.number(f"select count(*) from {grouped}")
    top = working.rows(f"select value, n from {grouped} order by n desc, value limit {_TOP_VALUES}")
    return distinct, tuple((_shortened(text), int(n)) for text, n in top)


def _shortened(text: str, longest: int = _LONGEST_SHOWN) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
