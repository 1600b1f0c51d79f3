"""Feast's online store over PostgreSQL: one wide typed row an entity, read in one query a feature view."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from threading import Lock
from typing import Any, Literal

import psycopg
from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel
from psycopg import errors
from pydantic import field_validator

from recommender.errors import DatabaseError, NotReadyError, first_line
from recommender.features.online.tables import OnlineTable, conform, connect, ensure_schema, lock, table_name

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class WideOnlineStoreConfig(FeastConfigBaseModel):
    """Chooses this store in `feature_store.yaml`."""

    type: Literal["recommender.features.online.store.WideOnlineStore"] = (
        "recommender.features.online.store.WideOnlineStore"
    )
    url: str
    """Of PostgreSQL, for libpq or for SQLAlchemy."""

    @field_validator("url")
    @classmethod
    def _libpq(cls, url: str) -> str:
        if "://" not in url:  # Feast leaves a variable that isn't set as it is written
            raise ValueError(f'{url} is no URL: export RECOMMENDER_DATABASE_URL="$(recommender db-url)"')
        return "postgresql://" + url.partition("://")[2]


class WideOnlineStore(OnlineStore):
    """Tables in the schema `feast`, named project_view; a store holds one connection for its reads.

    `SwapComputeEngine` fills a table by replacing it, grants and all. `online_write_batch` adds to what is there until
    the next materialization.
    """

    def __init__(self) -> None:
        self._connection: psycopg.Connection | None = None
        self._turn = Lock()

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Each entity's timestamp (UTC) and values, in the order asked; (None, None) for an absent one.

        Raises
        ------
        NotReadyError
            The view has no table that fits its declaration.
        DatabaseError
            PostgreSQL can't be reached.
        """
        online = OnlineTable.of(config.project, table)
        query, columns = online.reading(tuple(requested_features) if requested_features else None)
        try:
            rows = self._fetch(config.online_store.url, query, online.key_texts(entity_keys))
        except (errors.UndefinedTable, errors.UndefinedColumn):
            raise NotReadyError(
                f"the online table of feature view {table.name} is not as the view is declared: apply the definitions"
            ) from None
        return [
            (None, None)
            if moment is None
            else (
                moment,
                {column.feature: column.to_proto(value) for column, value in zip(columns, values, strict=True)},
            )
            for moment, *values in rows
        ]

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """`online_read` in a thread, while the caller's loop goes on."""
        return await asyncio.to_thread(self.online_read, config, table, entity_keys, requested_features)

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Insert or update; a row whose timestamp is older than the entity's changes nothing.

        Features that a row doesn't name stay as they are.
        """
        online = OnlineTable.of(config.project, table)
        columns = {column.feature: column for column in online.columns}
        try:
            with connect(config.online_store.url) as connection, connection.transaction():
                for names, rows in groupby(data, key=lambda row: tuple(name for name in row[1] if name in columns)):
                    connection.cursor().executemany(
                        online.upsert([columns[name] for name in names]),
                        [
                            [
                                *(text for (text,) in online.key_texts([entity])),
                                moment,
                                *(columns[name].to_postgres(values[name]) for name in names),
                            ]
                            for entity, values, moment, _ in rows
                        ],
                    )
        except psycopg.Error as error:
            raise DatabaseError(f"feature view {table.name} can't be written: {first_line(error)}") from None
        if progress:
            progress(len(data))

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Bring the tables to what the views declare; waits for a materialization that is at work on one."""
        wanted = sorted((OnlineTable.of(config.project, view) for view in tables_to_keep), key=lambda table: table.name)
        with connect(config.online_store.url) as connection:
            ensure_schema(connection)
            for table in wanted:
                lock(connection, table)
                with connection.transaction():
                    conform(connection, table)
        self.teardown(config, tables_to_delete, entities_to_delete)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Drop the views' tables, and what a killed materialization left of them."""
        with connect(config.online_store.url) as connection:
            for view in tables:
                table = OnlineTable(table_name(config.project, view.name), (), ())
                lock(connection, table)
                connection.execute(table.fresh.drop())
                connection.execute(table.drop())

    def _is_versioned_read_supported(self) -> bool:
        """No; Feast would import every other store to find out."""
        return False

    def _fetch(self, url: str, query: bytes, keys: list[list[str | None]]) -> list[tuple[Any, ...]]:
        """Over the connection at hand, or a new one where that is lost or remembers an altered table."""
        with self._turn:
            if self._connection is not None:
                try:
                    return _execute(self._connection, query, keys)
                except (psycopg.OperationalError, psycopg.InterfaceError, errors.FeatureNotSupported):
                    self._connection.close()
            self._connection = connect(url)
            try:
                return _execute(self._connection, query, keys)
            except psycopg.OperationalError as error:
                raise DatabaseError(f"online features can't be read: {first_line(error)}") from None


def _execute(connection: psycopg.Connection, query: bytes, keys: list[list[str | None]]) -> list[tuple[Any, ...]]:
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(query, keys, prepare=True).fetchall()
