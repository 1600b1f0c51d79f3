"""Worlds that have run nights for real: synthetic files, Feast, PyTorch, PostgreSQL; only Airflow is left out."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from recommender import pipeline
from recommender.config.settings import Settings, load_settings
from recommender.storage import embedded
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
