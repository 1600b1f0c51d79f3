"""Feast's PostgreSQL online store, reached by a URL like everything else here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from feast import RepoConfig
from feast.infra.online_stores.postgres_online_store.postgres import PostgreSQLOnlineStore, PostgreSQLOnlineStoreConfig
from pydantic import field_validator

SCHEMA = "feast"


class UrlPostgreSQLOnlineStoreConfig(PostgreSQLOnlineStoreConfig):
    """Chooses this store in `feature_store.yaml`; the separate fields of Feast's own are not used."""

    type: str = "recommender.features.online_store.UrlPostgreSQLOnlineStore"  # type: ignore[assignment]
    url: str
    """A PostgreSQL URL, for libpq or for SQLAlchemy."""
    host: str = ""
    database: str = ""
    user: str = ""
    password: str = ""
    db_schema: str = SCHEMA

    @field_validator("url")
    @classmethod
    def _libpq(cls, url: str) -> str:
        return "postgresql://" + url.partition("://")[2]


class UrlPostgreSQLOnlineStore(PostgreSQLOnlineStore):
    """Feast's store over one connection of its own."""

    @contextmanager
    def _get_conn(self, config: RepoConfig, autocommit: bool = False) -> Iterator[psycopg.Connection[Any]]:
        if self._conn is None or self._conn.closed:
            self._conn = psycopg.connect(
                config.online_store.url, options=f"-c search_path={SCHEMA}", application_name="recommender feast"
            )
        self._conn.set_autocommit(autocommit)
        try:
            yield self._conn
        except BaseException:
            self._conn.rollback()
            raise
