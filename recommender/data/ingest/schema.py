"""Columns that come, go or change their type between nights."""

from datetime import date

import duckdb

from recommender.columns import LANDED
from recommender.errors import SourceError
from recommender.storage.duckdb_sql import column_types
from recommender.storage.lake import Lake, parquet

_TABLES = ("events", "users", "items")
_WIDER = {
    "INTEGER": {"BIGINT", "FLOAT", "DOUBLE", "VARCHAR"},
    "BIGINT": {"FLOAT", "DOUBLE", "VARCHAR"},
    "FLOAT": {"DOUBLE", "VARCHAR"},
    "DOUBLE": {"VARCHAR"},
    "DATE": {"TIMESTAMP", "VARCHAR"},
    "TIMESTAMP": {"VARCHAR"},
    "BOOLEAN": {"VARCHAR"},
    "VARCHAR": {"VARCHAR[]"},
}
"""What a column may become: everything it held can be said in the new type."""


def check_schema(connection: duckdb.DuckDBPyConnection, lake: Lake, ds: date) -> tuple[str, ...]:
    """Compare `kept_<table>` with what the lake has; returns what changed, in words.

    A new column is missing in earlier rows, one that is no longer mapped is missing in later rows, a wider type
    holds the earlier values too.

    Raises
    ------
    SourceError
        A type became one that can't hold what the lake has, or the lake was written by an earlier version.
    """
    notes = []
    for table in _TABLES:
        earlier = [path for path in lake.files(table, date.max) if path != lake.path(table, ds)]
        if not earlier:
            continue
        before = column_types(connection, parquet(earlier[-1:]))
        now = column_types(connection, f"kept_{table}")
        if table == "events" and LANDED not in before:
            raise SourceError(f"{lake.root} was written by an earlier version: move it away and run the nights again")
        notes += [f"{table}.{name} is new" for name in now if name not in before]
        notes += [f"{table}.{name} is no longer mapped" for name in before if name not in now]
        for name in now:
            old, new = before.get(name, now[name]), now[name]
            if old == new:
                continue
            if new not in _WIDER.get(old, ()) or (table == "events" and new == "VARCHAR[]"):
                raise SourceError(
                    f"{table}.{name} is {new} now and was {old} in the lake, which can't be turned into it: "
                    f"give the column another name in the profile, or its old type"
                )
            notes.append(f"{table}.{name} widened from {old} to {new}")
    return tuple(notes)
