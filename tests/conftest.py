"""One embedded PostgreSQL for the whole run; each test that asks gets a fresh database in it."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

os.environ.setdefault("DO_NOT_TRACK", "1")
for name in [name for name in os.environ if name.startswith("RECOMMENDER_") and name != "RECOMMENDER_SHARED_DATA"]:
    del os.environ[name]  # a developer's own settings must not reach the tests

from recommender.storage import embedded

_numbers = itertools.count()
_LONGEST = ("test_kill.py", "test_domains.py", "test_backtest.py", "test_spark.py", "test_planted.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take minutes begin first: with several workers none is left with one of them at the end."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.fixture(scope="session")
def postgres_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Socket directory of a running embedded server."""
    folder = tmp_path_factory.mktemp("server") / "postgres"
    yield embedded.start(folder)
    embedded.stop(folder)


@pytest.fixture
def database_url(postgres_socket: str) -> Iterator[str]:
    """The libpq URL of a fresh, empty database."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    with psycopg.connect(embedded.url(postgres_socket, "postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    yield embedded.url(postgres_socket, name)
    with psycopg.connect(embedded.url(postgres_socket, "postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh RECOMMENDER_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("RECOMMENDER_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real data sets, or a skip where there are none."""
    folder = os.environ.get("RECOMMENDER_SHARED_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("RECOMMENDER_SHARED_DATA does not name a folder with the real data sets")
    return Path(folder)
