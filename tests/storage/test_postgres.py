"""Migrations and roles on a real server."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from recommender.config.settings import Settings, load_settings
from recommender.errors import DatabaseError
from recommender.storage.postgres import READER, WRITER, connect


@pytest.fixture
def settings(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    return load_settings("synthetic")


def test_connections_have_the_role_asked_for(settings: Settings) -> None:
    for role in (WRITER, READER):
        with connect(settings, role) as connection:
            assert connection.execute("select current_user").fetchone() == (role,)


def test_several_first_processes_at_once_migrate_once(settings: Settings) -> None:
    look = (
        "from recommender.config.settings import load_settings\n"
        "from recommender.storage.postgres import connect\n"
        "with connect(load_settings('synthetic')) as connection:\n"
        "    print(connection.execute('select count(*) from reco.models').fetchone()[0])"
    )
    started = [subprocess.Popen([sys.executable, "-c", look], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate()[0] for process in started] == ["0\n"] * 3


def test_the_owner_of_a_database_needs_not_be_a_superuser(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = database_url.split("/")[3].partition("?")[0]
    owner = f"owner_{name}"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"create role {owner} login createrole")
        connection.execute(f"alter database {name} owner to {owner}")
        for role in (WRITER, READER):  # as a database administrator would, where the roles exist already
            if connection.execute("select 1 from pg_roles where rolname = %s", [role]).fetchone():
                connection.execute(f"grant {role} to {owner} with admin option")
    try:
        monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url.replace("postgres@", f"{owner}@"))
        with connect(load_settings("synthetic")) as connection:
            assert connection.execute("select session_user, current_user").fetchone() == (owner, WRITER)
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f"alter database {name} owner to postgres")
            connection.execute(f"drop owned by {owner} cascade")
            connection.execute(f"drop role {owner}")


def test_a_server_that_goes_away_is_one_clear_line(settings: Settings) -> None:
    with pytest.raises(DatabaseError) as caught, connect(settings) as connection:
        connection.execute("reset role")
        connection.execute("select pg_terminate_backend(pg_backend_pid())")
    assert "terminating connection" in str(caught.value)
    assert "\n" not in str(caught.value)
