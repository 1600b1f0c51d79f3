"""What a night's expectations found is in PostgreSQL, and an operator reads it in one command."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from recommender import pipeline
from recommender.cli import app
from recommender.errors import ConfigError, DataQualityError
from recommender.storage.lake import Lake
from recommender.storage.postgres import connect
from recommender.storage.quality_results import TableResult, last_results
from tests.data.shop import EVENTS, FIRST, PROFILE, write_shop

LENIENT = PROFILE + "quality: {max_rejected_share: 1}\n"


@pytest.fixture
def folder(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    return tmp_path / "shop"


def last(folder: Path) -> dict[str, TableResult]:
    with connect(write_shop(folder)) as connection:
        return {found.table: found for found in last_results(connection)}


def test_a_failed_batch_is_told_and_a_good_one_replaces_it(folder: Path) -> None:
    with pytest.raises(DataQualityError):
        pipeline.ingest(write_shop(folder), FIRST)
    refused = last(folder)
    assert set(refused) == {"batch", "events", "items", "users"}
    assert [line.split(" values")[0] for line in refused["batch"].broken] == [
        "FAIL rejected_share",
        "warn unknown_items_share",
        "warn unknown_users_share",
    ]
    pipeline.ingest(write_shop(folder, profile=LENIENT), FIRST)
    assert not [line for found in last(folder).values() for line in found.broken if line.startswith("FAIL")]


def test_a_misspelt_feature_stops_the_night_before_anything_lands(folder: Path) -> None:
    settings = write_shop(folder, profile=LENIENT.replace("creators_total", "creaters_total"))
    with pytest.raises(ConfigError, match="did you mean 'creators_total'"):
        pipeline.ingest(settings, FIRST)
    assert not Lake(settings.lake).nights("events")


def test_status_shows_what_failed_and_why(folder: Path) -> None:
    settings = write_shop(folder)
    with pytest.raises(DataQualityError):
        pipeline.ingest(settings, FIRST)
    shown = CliRunner().invoke(app, ["status", "--profile", str(settings.profile_path)], terminal_width=240)
    assert shown.exit_code == 0
    words = " ".join(shown.output.split())
    assert "data quality" in words
    assert "2020-01-02 batch" in words
    assert "FAIL rejected_share" in words
    assert "quality.max_rejected_share" in words


def test_the_snapshots_are_checked_where_they_lie(folder: Path) -> None:
    settings = write_shop(folder, profile=LENIENT, events=EVENTS)
    pipeline.ingest(settings, FIRST)
    result = pipeline.features(settings, FIRST)
    found = last(folder)
    assert (found["user_features"].broken, found["item_features"].broken) == ((), ())
    assert result.detail["rows"] == {"user_features": 3, "item_features": 3}
