"""The engine that snapshots are computed on, behind Ibis: DuckDB on this machine, or Spark.

    with feature_engine(profile.engine) as connection:
        events = known_events_table(connection, lake, known)

What follows from here are Ibis expressions, the same for both.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import ibis
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend as DuckDBBackend

from recommender.columns import LANDED, REMOVED
from recommender.config.profile import Engine
from recommender.data.events import EVENT_IDENTITY, known_events
from recommender.data.session import working_database
from recommender.features.snapshots.spark import spark_backend, spark_session
from recommender.storage.duckdb_sql import quoted
from recommender.storage.lake import Lake


class _DuckDB(DuckDBBackend):  # type: ignore[misc]
    """Ibis's backend, with its caches' end mended."""

    def drop_table(self, name: str, /, *, database: object = None, force: bool = False) -> None:
        """Ibis 12 with SQLGlot 30 forgets the table's name."""
        self.con.execute(f"drop table {'if exists ' * force}{quoted(name)}")


@contextmanager
def feature_engine(engine: Engine) -> Iterator[ibis.BaseBackend]:
    """A connection in UTC; its temporary tables are gone afterwards.

    DuckDB spills what doesn't fit into its memory to a temporary folder.
    A Spark application that runs in this process is used and left running, else one is started and stopped.

    Raises
    ------
    ConfigError
        PySpark or Java is missing.
    RecommenderError
        Spark doesn't start.
    """
    if engine.kind == "duckdb":
        with working_database(engine) as database, _releasing(_DuckDB.from_connection(database)) as duckdb:
            yield duckdb
    else:
        with spark_session(engine) as session, _releasing(spark_backend(session)) as spark:
            yield spark


def read_parquet(connection: ibis.BaseBackend, files: Sequence[Path]) -> ir.Table:
    """Rows of all files; a column that one of them lacks is missing in its rows."""
    if connection.name == "duckdb":
        return connection.read_parquet([str(file) for file in files], union_by_name=True, hive_partitioning=False)
    name = ibis.util.gen_name("parquet")
    connection._session.read.parquet(*map(str, files), mergeSchema=True).createOrReplaceTempView(name)
    return connection.table(name)


def known_events_table(connection: ibis.BaseBackend, lake: Lake, known: date) -> ir.Table:
    """The events known to the night `known`, each once: the relation `known_events`, on either engine.

    Raises
    ------
    NotReadyError
        The lake holds no events up to that night.
    """
    relation = known_events(lake, known)
    if connection.name == "duckdb":
        name = ibis.util.gen_name("events")
        connection.raw_sql(f"create temp view {name} as select * from {relation}")
        return connection.table(name)
    changes = read_parquet(connection, lake.files("events", known))
    changes = changes.filter(changes[LANDED] <= ibis.literal(known))
    if not any(lake.facts("events", night).get(REMOVED) for night in lake.nights("events") if night <= known):
        return changes.drop(REMOVED)
    gone = changes.filter(changes[REMOVED]).select(*EVENT_IDENTITY, gone=changes[LANDED])
    events = changes.filter(~changes[REMOVED])
    same = [events[name] == gone[name] for name in EVENT_IDENTITY]
    return events.anti_join(gone, [*same, gone["gone"] > events[LANDED]]).drop(REMOVED)


@contextmanager
def _releasing(connection: ibis.BaseBackend) -> Iterator[ibis.BaseBackend]:
    """Drop cached tables while the connection is open: Ibis itself does when they are collected, which may be later."""
    try:
        yield connection
    finally:
        for name in list(connection._cache_name_to_entry):
            connection._finalize_cached_table(name)
