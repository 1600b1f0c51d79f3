"""A world whose database is empty but migrated."""

from datetime import date
from pathlib import Path

import pytest

from recommender.config.settings import Settings, load_settings
from tests.publishing.contents import register_model


@pytest.fixture
def world(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    settings = load_settings("synthetic")
    register_model(settings, date(2020, 1, 1))
    return settings
