"""From a source's columns to the canonical ones: each a SQL expression that makes a bad value a missing one."""

import re
from collections.abc import Mapping

from recommender.columns import ITEM_ID, USER_ID
from recommender.config.source import ColumnSource, Source
from recommender.data.times import EPOCH_UNITS
from recommender.errors import SourceError
from recommender.storage.duckdb_sql import literal, quoted

_IDS = (USER_ID, ITEM_ID)
_DUCKDB_TYPES = {"number": "float", "integer": "bigint"}
_LATEST_EPOCH_SECONDS = 253_402_300_799  # year 9999: DuckDB's text form of later times is not a date
_NUMBERS = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*)$")
_NAMES_ITS_ZONE = r":\d.*([zZ]|[+-]\d{1,2}(:?\d{2}){0,2}|[A-Za-z]+(/[A-Za-z_]+)*)\s*$"
"""Text of a time that ends in a zone or an offset; `2020-01-02` does not."""

_ZONED = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ_NS")
_ZONE_LETTERS = re.compile("%[zZ]")


def origin_expression(column: ColumnSource) -> str:
    """The value as the source has it."""
    if column.sql is not None:
        return f"({column.sql})"
    if column.value is not None:
        return literal(column.value) if isinstance(column.value, str) else repr(column.value)
    if column.parts is not None:
        parts = {part: f"try_cast({quoted(name)} as double)" for part, name in column.parts.items()}
        year, month, day, hour, minute = (
            f"cast(trunc({parts.get(part, 0)}) as bigint)" for part in ("year", "month", "day", "hour", "minute")
        )
        return f"try(make_timestamp({year}, {month}, {day}, {hour}, {minute}, {parts.get('second', '0.0')}))"
    return quoted(str(column.column))


def canonical_expression(name: str, source: Source, kind: str, where: str) -> str:
    """The value in its canonical type; null where it can't be.

    `kind` is the DuckDB type of `origin_expression`.

    Raises
    ------
    SourceError
        The column can't be of the type that the profile says.
    """
    column = source.columns[name]
    value = origin_expression(column)
    wanted = "text" if name in _IDS else source.type_of(name)
    if wanted == "text":
        return _text(name, value, kind)
    if wanted == "list":
        return _list(column, value, kind)
    if wanted == "time":
        return _time(column, value, kind, where)
    return bounded(column, f"try_cast({value} as {_DUCKDB_TYPES[wanted]})")


def bounded(column: ColumnSource, number: str) -> str:
    """A number that is finite and within its bounds."""
    bounds = [f"isfinite(cast({number} as double))"]
    bounds += [f"{number} >= {column.min}"] if column.min is not None else []
    bounds += [f"{number} <= {column.max}"] if column.max is not None else []
    return f"case when {' and '.join(bounds)} then {number} end"


def outside_bounds(column: ColumnSource) -> str:
    """Whether a number lies outside its bounds."""
    number = f"try_cast({origin_expression(column)} as double)"
    outside = [f"{number} < {column.min}"] if column.min is not None else []
    outside += [f"{number} > {column.max}"] if column.max is not None else []
    return f"({' or '.join(outside)})"


def key_text(value: str, kind: str) -> str:
    """An id or a key as text: equal for `12`, 12 and 12.0 of a column that holds missing values too."""
    if kind in ("FLOAT", "DOUBLE"):
        whole = f"try_cast({value} as bigint)"
        return f"case when {value} = {whole} then cast({whole} as varchar) else cast({value} as varchar) end"
    return f"clean_text(cast({value} as varchar))"


def _text(name: str, value: str, kind: str) -> str:
    if name in _IDS:
        return key_text(value, kind)
    text = f"cast({value} as varchar)"
    # PostgreSQL holds no NUL
    return f"clean_text(case when contains({text}, chr(0)) then replace({text}, chr(0), '') else {text} end)"


def _list(column: ColumnSource, value: str, kind: str) -> str:
    if kind.endswith("]"):
        return f"clean_list(cast({value} as varchar[]))"
    if column.separator is not None:
        return f"clean_list(string_split(cast({value} as varchar), {literal(column.separator)}))"
    return f"clean_list(case when {value} is not null then [cast({value} as varchar)] end)"


def _time(column: ColumnSource, value: str, kind: str, where: str) -> str:
    if kind in _ZONED:
        return _in_utc(f"cast({value} as timestamptz)")
    if kind.startswith(("TIMESTAMP", "DATE")):
        return _finite(_local(f"cast({value} as timestamp)", column.zone))
    text = f"cast({value} as varchar)"
    if column.format is not None:
        parsed = f"try_strptime(trim({text}), {literal(column.format)})"
        return _in_utc(parsed) if _ZONE_LETTERS.search(column.format) else _finite(_local(parsed, column.zone))
    if column.unit == "iso":
        if _NUMBERS.match(kind):
            raise SourceError(
                f"{where} is a time, but the source has numbers there: say `unit: seconds`, `milliseconds`, "
                "`microseconds`, or a `format`"
            )
        return _iso(text, column.zone)
    scale = EPOCH_UNITS[column.unit]
    count = f"try_cast({value} as double)"
    latest = _LATEST_EPOCH_SECONDS * scale
    return (
        f"case when {count} between -{latest} and {latest} "
        f"then make_timestamp(cast(round({count} * {1_000_000 // scale}) as bigint)) end"
    )


def _iso(text: str, zone: str | None) -> str:
    named = _in_utc(_parsed(text, "timestamptz"))  # the session's zone is UTC
    if zone is None:
        return named
    naive = _finite(_local(_parsed(text, "timestamp"), zone))
    return f"case when regexp_matches({text}, {literal(_NAMES_ITS_ZONE)}) then {named} else {naive} end"


def _parsed(text: str, kind: str) -> str:
    return f"coalesce(try_cast({text} as {kind}), try_cast(trim({text}) as {kind}))"


def _local(timestamp: str, zone: str | None) -> str:
    """A time of a zone's clock in UTC."""
    if zone is None:
        return timestamp
    return f"try(({timestamp} at time zone {literal(zone)}) at time zone 'UTC')"


def _in_utc(zoned: str) -> str:
    """A time with a zone, on the clock of UTC; several times faster than `at time zone`."""
    return f"case when isfinite({zoned}) then make_timestamp(epoch_us({zoned})) end"


def _finite(timestamp: str) -> str:
    return f"case when isfinite({timestamp}) then {timestamp} end"


def missing_columns(source: Source, available: Mapping[str, str]) -> dict[str, str]:
    """Columns that the mapping names and the source lacks, by the profile's key."""
    named: dict[str, str] = {}
    for name, column in source.columns.items():
        if column.column is not None:
            named[name] = column.column
        for part, text in (column.parts or {}).items():
            named[f"{name}.parts.{part}"] = text
    return {key: column for key, column in named.items() if column not in available}
