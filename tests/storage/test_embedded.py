"""The embedded server: started on demand, stopped on request, recovered after a kill."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from recommender.storage import embedded


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "postgres"
    embedded.stop(tmp_path / "postgres")


def test_start_is_idempotent_and_survives_stop_and_start(folder: Path) -> None:
    socket = embedded.start(folder)
    assert embedded.start(folder) == socket
    with psycopg.connect(embedded.url(socket), autocommit=True) as connection:
        connection.execute("create table kept as select 1 as n")
    assert embedded.stop(folder) is True
    assert embedded.running(folder) is None
    assert embedded.stop(folder) is False
    with psycopg.connect(embedded.url(embedded.start(folder))) as connection:
        assert connection.execute("select n from kept").fetchone() == (1,)


def test_a_killed_server_is_started_again_and_has_lost_nothing(folder: Path) -> None:
    with psycopg.connect(embedded.url(embedded.start(folder)), autocommit=True) as connection:
        connection.execute("create table kept as select 1 as n")
    server = psutil.Process(int((folder / "postmaster.pid").read_text().splitlines()[0]))
    children = server.children()
    server.kill()
    psutil.wait_procs(children, timeout=10)  # they notice and go
    with psycopg.connect(embedded.url(embedded.start(folder))) as connection:
        assert connection.execute("select n from kept").fetchone() == (1,)


def test_a_start_that_was_killed_before_the_databases_were_made_is_made_good(folder: Path) -> None:
    socket = embedded.start(folder)
    with psycopg.connect(host=socket, user="postgres", dbname="postgres", autocommit=True) as connection:
        connection.execute("drop database recommender")
    with psycopg.connect(embedded.url(embedded.start(folder))) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
