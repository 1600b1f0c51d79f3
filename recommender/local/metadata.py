"""Airflow's metadata: a database beside the recommender's, on the same server."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from recommender.config.settings import Settings
from recommender.errors import DatabaseError
from recommender.storage import embedded, postgres


def metadata_url(settings: Settings) -> str:
    """SQLAlchemy URL of Airflow's database; server and database are started and created where they are missing.

    Raises
    ------
    DatabaseError
        The server cannot be reached, or its user may not create a database.
    """
    parts = urlsplit(postgres.libpq_url(settings))
    url = urlunsplit(parts._replace(path=f"/{embedded.AIRFLOW_DATABASE}"))
    try:
        psycopg.connect(url, connect_timeout=10).close()
    except psycopg.OperationalError:
        _create(urlunsplit(parts))
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


def migrate(home: Path, environment: Mapping[str, str]) -> None:
    """Bring the metadata to this Airflow's version. Costs seconds, so it is skipped where it was done before.

    Raises
    ------
    DatabaseError
        `airflow db migrate` failed.
    """
    stamp, log = home / "migrated.json", home / "migrate.log"
    url = environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg", "")
    revision = _revision(url)
    done = {"airflow": version("apache-airflow-core"), "revision": revision}
    if revision is not None and stamp.is_file() and json.loads(stamp.read_text()) == done:
        return
    with log.open("wb") as output:
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        result = subprocess.run(command, env=dict(environment), stdout=output, stderr=subprocess.STDOUT, check=False)
    if result.returncode != 0:
        raise DatabaseError(f"`airflow db migrate` failed: see {log}")
    stamp.write_text(json.dumps({**done, "revision": _revision(url)}))


def _create(url: str) -> None:
    name = embedded.AIRFLOW_DATABASE
    try:
        with psycopg.connect(url, connect_timeout=10, autocommit=True) as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise DatabaseError(f"Airflow needs a database named {name!r} beside the recommender's: {reason}") from None


def _revision(url: str) -> str | None:
    """The migration the metadata is at; None for an empty database."""
    with psycopg.connect(url, connect_timeout=10) as connection:
        found = connection.execute("select to_regclass('alembic_version')").fetchone()
        if found is None or found[0] is None:
            return None
        row = connection.execute("select version_num from alembic_version").fetchone()
        return None if row is None else str(row[0])
