"""A world with two models whose artifacts are whole, and a first publication."""

from pathlib import Path

import pytest

from recommender.config.settings import Settings, load_settings
from tests.experiments.worlds import CHALLENGER, CHAMPION, NIGHT, publication, register


@pytest.fixture
def world(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    monkeypatch.setenv("RECOMMENDER_PROFILE", "synthetic")
    settings = load_settings("synthetic")
    register(settings, CHAMPION, status="champion")
    register(settings, CHALLENGER)
    publication(settings, NIGHT)
    return settings
