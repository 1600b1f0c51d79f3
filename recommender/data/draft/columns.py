"""What a table's columns hold: measured once in the working database, then judged by rules with named thresholds."""

import re
from dataclasses import dataclass
from functools import cached_property

import duckdb

from recommender.data.draft.files import Table, reader
from recommender.data.times import TimeForm, recognise
from recommender.storage.duckdb_sql import column_types, count_rows, quoted

MOST_ROWS = 2_000_000
"""Of a table are looked at; what is said about it holds for these first rows."""
_SAMPLED = 1000
_SURE = 0.95
"""Share of a column's values that must agree with a guess."""
_UNIQUE = 0.99
"""A key may have a few duplicates: ingest puts those rows aside."""
_MULTI_VALUED = 0.05
_LONGEST_PART = 40
UNNAMED = re.compile(r"column\d+")
_SEPARATORS = ("|", ";")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")
TIME_NAME = re.compile(
    r"time|date|stamp|^ts$|(?:^|_)at$|when|unix|epoch|registered|created|signup|joined|^on$", re.IGNORECASE
)
ID_NAME = re.compile(
    r"(?:^|_|(?<=[a-z]))(?:id|uid|uuid|guid|key|code|sku|isbn|asin|mbid|mid|nr|nummer)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Column:
    """One source column, with figures over the rows that were looked at."""

    name: str
    native: str
    """DuckDB's type; VARCHAR for all columns of text files."""
    rows: int
    filled: int
    distinct: int
    numbers: int
    integers: int
    low: float | None
    high: float | None
    sample: tuple[str, ...]
    """Values from all over the table."""

    @property
    def filled_share(self) -> float:
        return self.filled / max(1, self.rows)

    @property
    def is_unique(self) -> bool:
        """Nearly one row a value: a key."""
        return self.filled > 0 and self.distinct >= _UNIQUE * self.filled and self.filled_share >= _UNIQUE

    @property
    def is_number(self) -> bool:
        return self.filled > 0 and self.numbers >= _SURE * self.filled

    @property
    def is_integer(self) -> bool:
        return self.filled > 0 and self.integers >= _SURE * self.filled

    @property
    def is_list(self) -> bool:
        return self.native.endswith("[]")

    @property
    def looks_like_id(self) -> bool:
        """By its name, and no fraction among its values."""
        bare = self.name.lower() in ("key", "code") and not self.is_unique  # a key of music, a code of something
        whole = self.is_integer or not self.is_number
        return bool(ID_NAME.search(self.name)) and whole and not self.is_list and not bare

    @cached_property
    def time(self) -> TimeForm | None:
        """How it writes times, if it does. Plain numbers need a name that speaks of time, as ids can be as large."""
        if self.native.startswith(("TIMESTAMP", "DATE")):
            return TimeForm("iso", None, 1.0)
        form = recognise(self.sample)
        if form is None or form.share < _SURE:
            return None
        counts = form.unit != "iso" or (form.format is not None and form.format.isascii() and self.is_integer)
        return form if not counts or TIME_NAME.search(self.name) or self.is_unnamed else None

    @property
    def is_unnamed(self) -> bool:
        """Of a file without a header."""
        return bool(UNNAMED.fullmatch(self.name))

    @cached_property
    def separator(self) -> str | None:
        """Between the values of a multi-valued text."""
        if self.is_number or self.is_list or not self.sample:
            return None
        for separator in _SEPARATORS:
            several = [value for value in self.sample if separator in value]
            short = all(len(part) <= _LONGEST_PART for value in several for part in value.split(separator))
            if len(several) > _MULTI_VALUED * len(self.sample) and short:
                return separator
        return None

    @property
    def has_decimal_commas(self) -> bool:
        """Whether its numbers are written like 12,50."""
        written = sum(bool(_DECIMAL_COMMA.fullmatch(value.strip())) for value in self.sample)
        return bool(self.sample) and written >= _SURE * len(self.sample)

    @property
    def average_length(self) -> float:
        return sum(map(len, self.sample)) / max(1, len(self.sample))


def measure(connection: duckdb.DuckDBPyConnection, table: Table, number: int) -> dict[str, Column]:
    """Read a table's first rows into the working database, and look at every column."""
    table.relation = f"look_{number}"
    connection.execute(f"create temp table {table.relation} as select * from {reader(table)} limit {MOST_ROWS}")
    table.rows = count_rows(connection, table.relation)
    step = max(1, table.rows // _SAMPLED)
    types = column_types(connection, table.relation)
    return {name: _column(connection, table, name, native, step) for name, native in types.items()}


def _column(connection: duckdb.DuckDBPyConnection, table: Table, name: str, native: str, step: int) -> Column:
    text = f"nullif(trim(cast({quoted(name)} as varchar)), '')"
    if native == "VARCHAR[]":
        text = f"nullif(array_to_string({quoted(name)}, '|'), '')"
    row = connection.execute(
        f"""select count(value), count(distinct value), count(number),
                   count(number) filter (where number = floor(number)), min(number), max(number),
                   list(value order by position) filter (where position % {step} = 0)
            from (select value, try_cast(value as double) as number, position
                  from (select {text} as value, rowid as position from {table.relation}))"""
    ).fetchone()
    filled, distinct, numbers, integers, low, high, sample = row or (0, 0, 0, 0, None, None, None)
    values = tuple(value for value in sample or () if value is not None)
    return Column(name, native, table.rows, filled, distinct, numbers, integers, low, high, values)
