"""Feast's materialization as a full refresh: a table is filled by COPY beside the one that is read and replaces it.

An entity without a row in the range that is materialized is gone afterwards. Readers see the old table or the new
one, whole, and wait for nothing but the exchange of two names. A process that is killed leaves the old table; what it
may have filled is dropped by the next.
"""

import time
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureStore
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from psycopg import errors, sql

from recommender.columns import EVENT_TIMESTAMP
from recommender.data.dataset import night_end
from recommender.errors import ConfigError, DatabaseError, NotReadyError, first_line
from recommender.features.online.store import WideOnlineStore
from recommender.features.online.tables import SCHEMA, OnlineTable, connect, lock, newest_materialized
from recommender.storage.copy_arrow import TIMESTAMP, copy_batches

_CHUNK_ROWS = 50_000
_COMPUTED = ("feature_transformation", "aggregations", "filter", "source_views")
"""What makes a view's features other than columns of its source."""
_LOCK_TIMEOUT_MS, _SWAP_TRIES, _PAUSE_SECONDS = 500, 60, 0.1
"""New readers queue behind a swap that waits, so it waits briefly, lets them through and tries again."""


class SwapComputeEngineConfig(FeastConfigBaseModel):
    """Chooses this engine in `feature_store.yaml`; rows a chunk are `materialization.online_write_batch_size`."""

    type: str = "recommender.features.online.materialization.SwapComputeEngine"


class SwapComputeEngine(LocalComputeEngine):
    """Materializes into `WideOnlineStore`; views that transform, filter or aggregate are left to Feast's own engine.

    `materialize` and `materialize_incremental` both replace the table by the last row of each entity in their range.
    """

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **kwargs: object
    ) -> LocalMaterializationJob:
        """
        Raises
        ------
        NotReadyError
            The offline store has no row in the range, or the online table holds newer ones: it stays as it is.
        """
        view = task.feature_view
        if not isinstance(self.online_store, WideOnlineStore):
            raise ConfigError("batch_engine SwapComputeEngine needs the online_store WideOnlineStore")
        origin = view.batch_source
        if origin is None or view.offline or any(getattr(view, name, None) for name in _COMPUTED):
            return super()._materialize_one(registry, task, **kwargs)
        table = OnlineTable.of(task.project, view)
        source = {name: column for column, name in (origin.field_mapping or {}).items()}
        job = self.offline_store.pull_latest_from_table_or_query(
            config=self.repo_config,
            data_source=origin,
            join_key_columns=[source.get(key, key) for key in table.keys],
            feature_name_columns=[source.get(column.feature, column.feature) for column in table.columns],
            timestamp_field=origin.timestamp_field,
            created_timestamp_column=origin.created_timestamp_column,
            start_date=task.start_time,
            end_date=task.end_time,
        )
        chunk_rows = self.repo_config.materialization_config.online_write_batch_size or _CHUNK_ROWS
        batches = (_typed(batch, table, source, origin.timestamp_field) for batch in _batches(job, chunk_rows))
        replace_rows(self.repo_config.online_store.url, table, batches)
        return LocalMaterializationJob(
            job_id=f"{view.name}-{task.start_time}-{task.end_time}", status=MaterializationJobStatus.SUCCEEDED
        )


def materialize_night(store: FeatureStore, ds: date) -> bool:
    """Put the snapshots of `ds` into the online tables of all views; False where all hold a newer night.

    A snapshot without a row empties its table. To Feast no rows say nothing, and a snapshot may be missing.

    Raises
    ------
    NotReadyError
        A view has no snapshot of the night.
    """
    instant, url = night_end(ds), store.config.online_store.url
    tables = {view.name: (view, OnlineTable.of(store.project, view)) for view in store.list_feature_views()}
    with connect(url) as connection:
        held = {name: newest_materialized(connection, table) for name, (_, table) in tables.items()}
    due = [name for name, newest in held.items() if newest is None or newest <= instant]
    filled = []
    for name in due:
        view, table = tables[name]
        source: Any = view.batch_source  # of files, whichever the engine
        snapshot = Path(source.path.replace("ds=*", f"ds={ds.isoformat()}"))
        if snapshot.is_file() and pq.read_metadata(snapshot).num_rows == 0:
            replace_rows(url, table, [], empty_at=instant)
        else:
            filled.append(name)
    if filled:
        store.materialize(instant, instant, feature_views=filled)
    return bool(due)


def replace_rows(
    url: str, table: OnlineTable, batches: Iterable[pa.RecordBatch], empty_at: datetime | None = None
) -> int:
    """Put these rows, and no others, into the table.

    Parameters
    ----------
    batches
        Columns as in `table.types`, an entity once; memory is that of one batch.
    empty_at
        The instant at which no entity is known to have a value, where no rows are no mistake.

    Returns
    -------
    Rows written.

    Raises
    ------
    NotReadyError
        There are no rows, or the table holds a materialization with a newer one: it stays as it is.
    DatabaseError
        PostgreSQL can't be reached or refuses the rows, or somebody's transaction holds the old table for a minute.
    """
    try:
        with connect(url) as connection:
            lock(connection, table)
            held = newest_materialized(connection, table)
            rows = _fill(connection, table, batches, held, empty_at)
            _swap(connection, table)
    except psycopg.Error as error:
        raise DatabaseError(f"online table {table.name} can't be replaced: {first_line(error)}") from None
    return rows


def _fill(
    connection: psycopg.Connection,
    table: OnlineTable,
    batches: Iterable[pa.RecordBatch],
    held: datetime | None,
    empty_at: datetime | None,
) -> int:
    fresh = table.fresh
    with connection.transaction():
        connection.execute(fresh.drop())
        connection.execute(fresh.create())
        # frozen: a transaction that began before the swap would find the new table empty
        rows = copy_batches(connection, fresh.identifier, batches, list(table.types), freeze=True)
        newest_row = connection.execute(
            sql.SQL("select max({}) from {}").format(sql.Identifier(EVENT_TIMESTAMP), fresh.identifier)
        ).fetchone()
        newest: datetime | None = newest_row[0] if newest_row and rows else empty_at
        if newest is None:
            raise NotReadyError(
                f"nothing to materialize into {table.name}: the offline store has no row in the range that was asked "
                "for; build its snapshots first"
            )
        if held is not None and newest < held:
            raise NotReadyError(f"{table.name} holds values of {held}, newer than those of {newest}: it stays")
        connection.execute(fresh.add_key())
        connection.execute(
            sql.SQL("comment on table {} is {}").format(fresh.identifier, sql.Literal(newest.isoformat()))
        )
    return rows


def _swap(connection: psycopg.Connection, table: OnlineTable) -> None:
    fresh = table.fresh
    for _ in range(_SWAP_TRIES):
        try:
            with connection.transaction():
                connection.execute(sql.SQL("set local lock_timeout = {}").format(_LOCK_TIMEOUT_MS))
                _copy_grants(connection, table)
                connection.execute(table.drop())
                for kind, old, new in (("table", fresh.name, table.name), ("index", fresh.key_name, table.key_name)):
                    connection.execute(
                        sql.SQL("alter {} {} rename to {}").format(
                            sql.SQL(kind), sql.Identifier(SCHEMA, old), sql.Identifier(new)
                        )
                    )
            return
        except errors.LockNotAvailable:
            time.sleep(_PAUSE_SECONDS)
    connection.execute(fresh.drop())
    raise DatabaseError(f"online table {table.name} is held by another session's transaction: end it and run again")


def _copy_grants(connection: psycopg.Connection, table: OnlineTable) -> None:
    """Let who may read the old table read the new one."""
    granted = connection.execute(
        """select privilege_type, rolname, is_grantable
           from pg_class cross join aclexplode(relacl) left join pg_roles on pg_roles.oid = grantee
           where pg_class.oid = to_regclass(%s) and grantee <> relowner""",
        [table.identifier.as_string(None)],
    ).fetchall()
    for privilege, role, is_grantable in granted:  # without a role: to public
        connection.execute(
            sql.SQL("grant {} on {} to {}{}").format(
                sql.SQL(privilege),
                table.fresh.identifier,
                sql.Identifier(role) if role else sql.SQL("public"),
                sql.SQL(" with grant option" if is_grantable else ""),
            )
        )


def _batches(job: RetrievalJob, rows: int) -> Iterator[pa.RecordBatch]:
    if hasattr(job, "to_arrow_batches"):
        yield from job.to_arrow_batches(rows)
    else:
        yield from job.to_arrow().to_batches(rows)


def _typed(batch: pa.RecordBatch, table: OnlineTable, source: dict[str, str], moment: str) -> pa.RecordBatch:
    """The batch's columns as the table takes them; rows without a key can't be looked up and are left out."""
    keys = [batch.column(source.get(key, key)).cast(pa.string()) for key in table.keys]
    features = [column.to_arrow(batch.column(source.get(column.feature, column.feature))) for column in table.columns]
    moments = batch.column(moment).cast(TIMESTAMP, safe=False)
    typed = pa.RecordBatch.from_arrays([*keys, moments, *features], names=list(table.types))
    for number in range(len(keys)):
        typed = typed.filter(typed.column(number).is_valid())
    return typed
