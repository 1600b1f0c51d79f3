"""PostgreSQL: where it is, how the pipeline connects, migrations, and COPY."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from recommender.config.settings import Settings
from recommender.errors import DatabaseError
from recommender.storage import embedded

WRITER = "reco_writer"
READER = "reco_reader"
_MIGRATIONS = Path(__file__).parent / "migrations"
_HEAD = max(path.stem.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("0*.py"))


def libpq_url(settings: Settings) -> str:
    """The database's URL as psql reads it; starts the embedded server when none is configured."""
    if settings.database_url is None:
        return embedded.url(embedded.start(settings.postgres))
    scheme, _, rest = settings.database_url.partition("://")
    if not scheme.startswith("postgres"):
        raise DatabaseError(f"RECOMMENDER_DATABASE_URL must be a postgresql:// URL, not {scheme}://")
    return f"postgresql://{rest}"


def sqlalchemy_url(settings: Settings) -> str:
    """The database's URL for SQLAlchemy with psycopg 3."""
    return libpq_url(settings).replace("postgresql://", "postgresql+psycopg://", 1)


@contextmanager
def connect(settings: Settings, role: str = WRITER, *, autocommit: bool = False) -> Iterator[psycopg.Connection]:
    """A connection under a least-privilege role, migrated first; commits when the block ends without an error."""
    url = libpq_url(settings)
    with _reached(url) as connection:
        if not _is_migrated(connection):
            connection.rollback()
            migrate(settings)
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        connection.commit()
        connection.autocommit = autocommit
        yield connection


def migrate(settings: Settings) -> None:
    """Bring the schema to the newest version; safe to call from several processes at once.

    Raises
    ------
    DatabaseError
        A long read or a publisher uses a table that is to change; live reads are not held up for it.
    """
    from alembic import command  # costs half a second: only a first run needs it
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("sqlalchemy.url", sqlalchemy_url(settings).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except psycopg.errors.LockNotAvailable:
        raise DatabaseError(
            "the tables can't be brought to the newest version while a long read or a publisher uses them: run it again"
        ) from None


def rows_as_dicts(
    connection: psycopg.Connection, query: LiteralString, parameters: Sequence[Any] = ()
) -> list[dict[str, Any]]:
    """Run a query and return its rows as dictionaries."""
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(query, parameters).fetchall()


@contextmanager
def _reached(url: str) -> Iterator[psycopg.Connection]:
    try:
        connection = psycopg.connect(url, connect_timeout=10, application_name="recommender")
    except psycopg.OperationalError as error:
        raise DatabaseError(
            f"cannot reach PostgreSQL at {_without_password(url)}: {' '.join(str(error).split())}"
        ) from None
    try:
        with connection:
            yield connection
    except psycopg.OperationalError as error:  # the server went away, or its disk is full
        raise DatabaseError(f"PostgreSQL at {_without_password(url)}: {' '.join(str(error).split())}") from error


def _is_migrated(connection: psycopg.Connection) -> bool:
    exists = connection.execute("select to_regclass('reco.alembic_version')").fetchone()
    if exists is None or exists[0] is None:
        return False
    version = connection.execute("select version_num from reco.alembic_version").fetchone()
    return version is not None and version[0] == _HEAD


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return url.replace(f":{parts.password}@", ":***@") if parts.password else url
