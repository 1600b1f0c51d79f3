"""A table or query of a database, streamed over SQLAlchemy into the engine."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from recommender.config.source import Origin
from recommender.errors import SourceError, first_line
from recommender.storage.duckdb_sql import quoted

_BATCH = 50_000
_NATIVE = (bool, int, float, str, datetime, date)
_CONNECT_SECONDS = 10


def read_database(connection: duckdb.DuckDBPyConnection, origin: Origin, name: str, where: str) -> str:
    """Copy what an origin's `table` or `query` gives into a temporary table, in a read-only transaction.

    A batch of rows at a time is in memory. Returns the table's name.

    Raises
    ------
    SourceError
        The variable is not set, the database can't be reached, or it refuses the query. Never tells the password.
    """
    engine, url = _engine(origin, where)
    loaded = f"{name}_loaded"
    connection.execute(f"drop table if exists {loaded}")
    statement = sa.text(origin.query) if origin.query is not None else _whole_table(str(origin.table))
    try:
        with engine.connect() as database:
            streaming = database.execution_options(stream_results=True, yield_per=_BATCH, **_read_only(engine))
            result = streaming.execute(statement)
            columns = [str(column) for column in result.keys()]  # noqa: SIM118 - a result is no dictionary
            _refuse_twins(columns, origin, where)
            for number, batch in enumerate(_batches(result, columns, origin.limit)):
                if number == 0:
                    connection.execute(f"create temp table {loaded} as {_select(batch)} limit 0")
                connection.execute(f"insert into {loaded} select * from batch")
            database.rollback()
    except SQLAlchemyError as error:
        raise SourceError(f"cannot read {origin.place}: {_reason(error, url)} ({where})") from None
    except duckdb.ConversionException:
        raise SourceError(
            f"cannot read {origin.place}: a column changes its type between rows; cast it in `query` ({where})"
        ) from None
    finally:
        engine.dispose()
    return loaded


def _engine(origin: Origin, where: str) -> tuple[sa.Engine, sa.URL]:
    text = os.environ.get(str(origin.database))
    if not text:
        raise SourceError(f"{where} needs a database: set {origin.database} to its SQLAlchemy URL")
    if text.startswith(("postgres://", "postgresql://")):
        text = f"postgresql+psycopg://{text.partition('://')[2]}"
    try:
        url = sa.make_url(text)
        arguments = {"connect_timeout": _CONNECT_SECONDS} if url.get_backend_name() == "postgresql" else {}
        return sa.create_engine(url, connect_args=arguments, poolclass=sa.NullPool), url
    except NoSuchModuleError:
        raise SourceError(
            f"{origin.database}: SQLAlchemy knows no such database; install its driver ({where})"
        ) from None
    except ModuleNotFoundError as error:
        raise SourceError(f"{origin.database}: install the driver {error.name} ({where})") from None
    except (ArgumentError, ValueError):
        raise SourceError(f"{origin.database} is no SQLAlchemy URL such as postgresql://host/name ({where})") from None


def _read_only(engine: sa.Engine) -> dict[str, Any]:
    return {"postgresql_readonly": True} if engine.dialect.name == "postgresql" else {}


def _whole_table(table: str) -> sa.Select[Any]:
    schema, _, name = table.rpartition(".")
    return sa.select(sa.text("*")).select_from(sa.table(name, schema=schema or None))


def _refuse_twins(columns: Sequence[str], origin: Origin, where: str) -> None:
    seen: set[str] = set()
    for column in columns:
        if column.lower() in seen:
            raise SourceError(f"{origin.place} has two columns named {column!r}: rename one in `query` ({where})")
        seen.add(column.lower())


def _batches(result: sa.CursorResult[Any], columns: Sequence[str], limit: int | None) -> Iterator[pa.Table]:
    """Tables of at most a batch of rows; an empty one when there is no row."""
    left = limit
    number = 0
    for rows in result.partitions(_BATCH):
        kept = rows if left is None else rows[:left]
        yield pa.table({name: _column(values) for name, values in zip(columns, zip(*kept, strict=True), strict=True)})
        number += 1
        if left is not None:
            left -= len(kept)
            if left == 0:
                break
    if number == 0:
        yield pa.table({name: pa.array([], pa.string()) for name in columns})


def _column(values: Sequence[Any]) -> pa.Array:
    """Plain types as they are, lists as lists of text, anything else as text."""
    some = next((value for value in values if value is not None), None)
    if isinstance(some, list | tuple | set):
        lists = [None if value is None else [None if one is None else str(one) for one in value] for value in values]
        return pa.array(lists, pa.list_(pa.string()))
    if isinstance(some, _NATIVE):
        # numbers too large for 64 bits, or values of several types, are text
        with suppress(pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            return pa.array(values)
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, default=str)
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.hex() if isinstance(value, bytes | memoryview) else str(value)


def _select(batch: pa.Table) -> str:
    """The loaded table's columns; one of which the first batch says nothing is text."""
    columns = [
        f"cast(null as varchar) as {quoted(field.name)}" if pa.types.is_null(field.type) else quoted(field.name)
        for field in batch.schema
    ]
    return f"select {', '.join(columns)} from batch"


def _reason(error: SQLAlchemyError, url: sa.URL) -> str:
    """The driver's first line, without a password that it may repeat."""
    cause = getattr(error, "orig", None) or error
    line = first_line(cause)
    return line.replace(str(url.password), "***") if url.password else line
