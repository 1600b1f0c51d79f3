"""What several files of this folder start from, made once a file."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from feast import FeatureStore

from recommender.config.settings import Settings
from recommender.storage import embedded
from tests.features import inspected, offline


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The tiny shop of `inspected.py` after its second night; tests only read it."""
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(folder / "home"))
        yield inspected.write_world(folder)


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest, postgres_socket: str) -> Iterator[str]:
    """The libpq URL of a database of the file's own; every test has views of its own."""
    name = psycopg.sql.Identifier(request.module.__name__)
    with psycopg.connect(embedded.url(postgres_socket, "postgres"), autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("create database {}").format(name))
        yield embedded.url(postgres_socket, request.module.__name__)
        connection.execute(psycopg.sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture(scope="module")
def offline_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry and the files of the world of `offline.py`."""
    folder = tmp_path_factory.mktemp("offline")
    offline.write_world(folder, seed=0)
    offline.open_store(folder, offline.OURS).apply(offline.definitions(folder))
    return folder


@pytest.fixture(scope="module")
def offline_store(offline_folder: Path) -> FeatureStore:
    return offline.open_store(offline_folder, offline.OURS)
