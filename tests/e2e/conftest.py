"""Worlds that have run nights for real: synthetic files, Feast, PyTorch, PostgreSQL; only Airflow is left out."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from recommender import pipeline
from recommender.config.settings import Settings, load_settings
from recommender.storage import embedded
from tests.e2e.people import FIRST as FIRST_OF_PEOPLE
from tests.e2e.people import SECOND as SECOND_OF_PEOPLE
from tests.e2e.people import People, write_people
from tests.e2e.worlds import FIRST, write_profile


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A world after its first night. Its tests run in order and share it."""
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(folder / "home"))
        patch.setenv("RECOMMENDER_PROFILE", str(write_profile(folder)))
        settings = load_settings()
        list(pipeline.nightly(settings, FIRST))
        yield settings
        embedded.stop(settings.postgres)


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The same world before its first night."""
    monkeypatch.setenv("RECOMMENDER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECOMMENDER_PROFILE", str(write_profile(tmp_path)))
    settings = load_settings()
    yield settings
    embedded.stop(settings.postgres)


@pytest.fixture
def environment() -> dict[str, str]:
    """What child processes get."""
    return {**os.environ, "PYTHONUNBUFFERED": "1"}


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory, postgres_socket: str) -> Iterator[People]:
    """A world of people with unmistakable attributes after two nights, run by the command line."""
    folder, name = tmp_path_factory.mktemp("people"), f"people_{os.getpid()}"
    with psycopg.connect(embedded.url(postgres_socket, "postgres"), autocommit=True) as connection:
        connection.execute(f"create database {name}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(folder / "home"))
        patch.setenv("RECOMMENDER_DATABASE_URL", embedded.url(postgres_socket, name))
        settings = load_settings(str(write_people(folder)), folder)
    people = People(settings, folder)
    for night in (FIRST_OF_PEOPLE, SECOND_OF_PEOPLE):
        people.run("nightly", "--ds", str(night))
    yield people
    with psycopg.connect(embedded.url(postgres_socket, "postgres"), autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")
