"""SQLAlchemy on an open DuckDB connection, as far as Great Expectations needs it to push its work down.

DuckDB speaks PostgreSQL's SQL, and under PostgreSQL's name Great Expectations knows how to ask for patterns, quantiles
and types. What differs is here: parameters, partial matches of a regular expression, and what a table's columns are.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import duckdb
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect
from sqlalchemy.pool import StaticPool


def engine_on(connection: duckdb.DuckDBPyConnection) -> sa.Engine:
    """An engine that runs every statement on this connection, so that its views and settings hold; never closes it."""
    return sa.create_engine(_URL, creator=lambda: _Connection(connection), poolclass=StaticPool)


class _Compiler(PGCompiler):
    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> str:
        if operator.opstring not in ("~", "!~"):  # to DuckDB, `~` is a match of the whole text
            return super().visit_custom_op_binary(element, operator, **kw)  # type: ignore[no-untyped-call,no-any-return]
        text, pattern = (self.process(side, **kw) for side in (element.left, element.right))
        return f"{'not ' if operator.opstring == '!~' else ''}regexp_matches({text}, {pattern})"


class _ColumnType(sa.types.UserDefinedType[Any]):
    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **kw: Any) -> str:
        return self.name


class DuckDBDialect(PGDialect):
    """PostgreSQL's dialect with DuckDB behind it; reads only."""

    driver = "duckdb"
    default_paramstyle = "qmark"
    statement_compiler = _Compiler
    supports_statement_cache = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"paramstyle": "qmark", **options})  # type: ignore[no-untyped-call]

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        return duckdb

    def initialize(self, connection: sa.Connection) -> None:
        """Nothing to ask: PostgreSQL's questions about its server have no answer here."""

    def do_begin(self, dbapi_connection: Any) -> None:
        """Transactions are the business of whose connection it is."""

    do_commit = do_rollback = do_close = do_begin

    def get_columns(self, connection: sa.Connection, table_name: str, schema: str | None = None, **kw: Any) -> Any:
        rows = connection.exec_driver_sql(f"describe {self.identifier_preparer.quote(table_name)}").fetchall()
        return [{"name": row[0], "type": _ColumnType(row[1]), "nullable": True, "default": None} for row in rows]

    def get_pk_constraint(
        self, connection: sa.Connection, table_name: str, schema: str | None = None, **kw: Any
    ) -> Any:
        return {"name": None, "constrained_columns": []}


_URL = "postgresql+duckdb://"
sa.dialects.registry.register("postgresql.duckdb", __name__, DuckDBDialect.__name__)


class _Connection:
    """What SQLAlchemy's pool holds."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def cursor(self) -> "_Cursor":
        return _Cursor(self._connection)


class _Cursor:
    """One statement's result, fetched at once: the connection itself holds one result at a time."""

    rowcount = -1
    arraysize = 1

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []
        self.description: Any = None

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        result = self._connection.execute(statement, list(parameters))
        self.description = result.description
        self._rows = result.fetchall()

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        fetched, self._rows = self._rows[:size], self._rows[size:]
        return fetched

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.fetchmany(len(self._rows))

    def close(self) -> None:
        self._rows = []
