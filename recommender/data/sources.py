"""Source files through the profile's mapping: DuckDB views with canonical columns and types.

Everything is read as the source has it and cast with `try_cast`, so that one bad value is a missing value
and never a failed night; whoever uses the view decides what a missing value means.
"""

import difflib
from pathlib import Path

import duckdb

from recommender.columns import ITEM_ID, RAW, USER_ID
from recommender.config.profile import Profile
from recommender.config.source import ColumnSource, Source
from recommender.errors import SourceError

_IDS = (USER_ID, ITEM_ID)
_DUCKDB_TYPES = {"text": "varchar", "number": "float", "integer": "integer", "time": "timestamp"}
_LATEST_EPOCH_SECONDS = 253_402_300_799  # year 9999: DuckDB's text form of later times is not a date
UNPARSABLE = "unparsable"
"""Name suffix of the table that holds a CSV source's unreadable lines."""


def open_source(connection: duckdb.DuckDBPyConnection, profile: Profile, table: str, data: Path) -> None:
    """Create view `<table>` (canonical columns and `raw`, the source row as JSON) over a source.

    Beside it, `<table>_unparsable(raw, reason)` holds the lines a CSV reader could not split into columns.

    Raises
    ------
    SourceError
        No file matches, a file can't be read, or a mapped column doesn't exist.
    """
    source: Source = getattr(profile, table)
    where = f"{table}.path of profile {profile.name}"
    files = sorted(str(file) for file in data.glob(source.place))
    if not files:
        raise SourceError(f"no file matches {data / source.place} ({where})")
    empty = [file for file in files if Path(file).stat().st_size == 0]
    if empty:
        raise SourceError(f"{empty[0]} is empty: not even a header (matched by {where})")
    limit = f" limit {source.limit}" if source.limit else ""
    relation = _reader(connection, source, files, table)
    try:
        connection.execute(f"create or replace temp view {table}_source as select * from {relation}{limit}")
        available = [row[0] for row in connection.execute(f"describe {table}_source").fetchall()]
    except duckdb.Error as error:
        raise SourceError(f"cannot read {data / source.place}: {_one_line(error)} ({where})") from None
    for name, column in source.columns.items():
        if column.column is not None and column.column not in available:
            near = difflib.get_close_matches(column.column, available, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(available)}"
            raise SourceError(
                f"{data / source.place} has no column {column.column!r} "
                f"({table}.columns.{name} of profile {profile.name}); {hint}"
            )
    expressions = [f"{_expression(name, source, table)} as {_quoted(name)}" for name in source.columns]
    try:
        connection.execute(
            f"create or replace temp view {table} as "
            f"select {', '.join(expressions)}, cast(to_json({table}_source) as varchar) as {RAW} from {table}_source"
        )
        connection.execute(f"select * from {table} limit 0")
    except duckdb.Error as error:
        raise SourceError(f"profile {profile.name}, {table}.columns: {_one_line(error)}") from None


def collect_unparsable(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Create table `<table>_unparsable(raw, reason)` from what the reads of `<table>` so far could not parse."""
    exists = connection.execute(
        "select count(*) from duckdb_tables() where table_name = ?", [f"{table}_rejects"]
    ).fetchone()
    rows = (
        "select csv_line as raw, 'line ' || line || ' unparsable: ' || min(error_message) as reason "
        f"from {table}_rejects group by file_id, line, csv_line"
        if exists and exists[0]
        else "select null::varchar as raw, null::varchar as reason where false"
    )
    connection.execute(f"create or replace temp table {table}_{UNPARSABLE} as {rows}")


def out_of_range(connection: duckdb.DuckDBPyConnection, profile: Profile, table: str) -> dict[str, int]:
    """How many numbers of each bounded column lie outside its bounds; they were taken as missing."""
    source: Source = getattr(profile, table)
    bounded = {
        name: column for name, column in source.columns.items() if column.min is not None or column.max is not None
    }
    if not bounded:
        return {}
    counts = []
    for column in bounded.values():
        number = f"try_cast({_origin(column, table)} as double)"
        outside = [f"{number} < {column.min}"] if column.min is not None else []
        outside += [f"{number} > {column.max}"] if column.max is not None else []
        counts.append(f"count(*) filter (where {' or '.join(outside)})")
    row = connection.execute(f"select {', '.join(counts)} from {table}_source").fetchone()
    return {name: int(count) for name, count in zip(bounded, row or (), strict=True) if count}


def _reader(connection: duckdb.DuckDBPyConnection, source: Source, files: list[str], table: str) -> str:
    names = ", ".join(_literal(file) for file in files)
    if source.format_of(files[0]) == "parquet":
        return f"read_parquet([{names}], union_by_name = true)"
    for suffix in ("rejects", "reject_scans"):
        connection.execute(f"drop table if exists {table}_{suffix}")
    return (
        f"read_csv([{names}], all_varchar = true, header = true, delim = {_literal(source.delimiter_of(files[0]))}, "
        f"store_rejects = true, rejects_table = '{table}_rejects', rejects_scan = '{table}_reject_scans')"
    )


def _origin(column: ColumnSource, table: str) -> str:
    return f"({column.sql})" if column.sql is not None else f"{table}_source.{_quoted(str(column.column))}"


def _expression(name: str, source: Source, table: str) -> str:
    column = source.columns[name]
    value = _origin(column, table)
    kind = "text" if name in _IDS else source.type_of(name)
    if kind == "text":
        return f"nullif(trim(cast({value} as varchar)), '')"
    if kind == "time":
        return _time(value, column.unit)
    number = f"try_cast({value} as {_DUCKDB_TYPES[kind]})"
    bounds = [f"{number} >= {column.min}"] if column.min is not None else []
    bounds += [f"{number} <= {column.max}"] if column.max is not None else []
    finite = f"isfinite({number})" if kind == "number" else f"{number} is not null"
    return f"case when {' and '.join([finite, *bounds])} then {number} end"


def _time(value: str, unit: str) -> str:
    if unit == "iso":
        # text without a zone is UTC, as is the session; text with one is converted
        return f"(try_cast(cast({value} as varchar) as timestamptz) at time zone 'UTC')"
    scale = 1 if unit == "seconds" else 1000
    seconds = f"try_cast({value} as double) / {scale}"
    return (
        f"case when {seconds} between -{_LATEST_EPOCH_SECONDS} and {_LATEST_EPOCH_SECONDS} "
        f"then make_timestamp(cast(round({seconds} * 1e6) as bigint)) end"
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _one_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
