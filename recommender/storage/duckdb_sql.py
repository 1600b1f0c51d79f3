"""The pieces of DuckDB's SQL that statements are put together from, and what DuckDB's errors say."""

import re
from collections.abc import Iterable
from pathlib import Path

import duckdb

from recommender.errors import first_line


def quoted(name: str) -> str:
    """The name of a column or a table as SQL takes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL takes it, where it can't be a parameter."""
    return "'" + text.replace("'", "''") + "'"


def paths(files: Iterable[Path]) -> str:
    """Files as `read_parquet`, `read_csv` and `read_json` take them."""
    return f"[{', '.join(literal(str(file)) for file in files)}]"


def count_rows(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    """Rows of whatever fits after `from`, conditions included."""
    [(rows,)] = connection.execute(f"select count(*) from {relation}").fetchall()
    return int(rows)


def column_types(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """The columns of whatever fits after `from`, in their order, with their types."""
    return {row[0]: row[1] for row in connection.execute(f"describe select * from {relation}").fetchall()}


def one_line(error: Exception) -> str:
    """What DuckDB says, without the values of rows that it may repeat."""
    said = first_line(error)
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    if len(lines) > 1 and lines[1].startswith("Candidate bindings"):
        said = f"{said} {lines[1]}"
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException):
        return re.sub(r"\b\d[\d.:-]*\b", "…", re.sub(r"(['\"]).*\1", "'…'", said))
    return re.sub(r"((?:string|Input:) )(['\"]).*\2", r"\1'…'", said)
