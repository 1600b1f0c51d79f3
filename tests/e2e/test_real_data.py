"""A whole night on real data sets as they stand, by profile alone; with a small model, so that it takes seconds."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from recommender import pipeline
from recommender.config.settings import Settings, load_settings
from recommender.storage import embedded
from recommender.storage.postgres import READER, connect

SMALL = {
    "MODEL": "{kind: two_tower, dimension: 16, history_length: 10, max_epochs: 1}",
    "TRAINING__WINDOW_DAYS": "60",
    "TRAINING__REFIT": "false",
    "FEATURES__SNAPSHOT_EVERY_DAYS": "30",
    "PUBLISH__TOP_K": "20",
    "PUBLISH__SIMILAR_K": "5",
}


@pytest.fixture
def small_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("RECOMMENDER_HOME", str(tmp_path / "home"))
    for key, value in SMALL.items():
        monkeypatch.setenv(f"RECOMMENDER__{key}", value)
    yield
    for folder in (tmp_path / "home").glob("*/postgres"):
        embedded.stop(folder)


def answers(settings: Settings, user_id: str, text: str) -> tuple[int, str]:
    with connect(settings, READER) as connection:
        ranks = connection.execute("select count(*) from reco.recommend(%s, 20)", [user_id]).fetchone()
        found = connection.execute("select title from reco.search_items(%s, 1)", [text]).fetchone()
    return (ranks or (0,))[0], (found or ("",))[0]


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("profile", "folder", "ds", "user_id", "text", "title"),
    [
        ("music", "lfm", date(2014, 4, 30), "1003134", "tornado of soulz", "Tornado Of Souls"),
        ("films", "ml1m", date(2000, 11, 30), "1", "jumanij", "Jumanji (1995)"),
        ("artists", ".", date(2011, 2, 28), "2", "diary of draems", "Diary of Dreams"),
    ],
)
def test_a_night_runs_from_the_files_as_they_stand(
    small_models: None,
    shared_data: Path,
    profile: str,
    folder: str,
    ds: date,
    user_id: str,
    text: str,
    title: str,
) -> None:
    settings = load_settings(profile, shared_data / folder)
    stages = {result.stage: result for result in pipeline.nightly(settings, ds)}
    assert list(stages) == list(pipeline.STAGES)
    assert answers(settings, user_id, text) == (20, title)
    repeated = pipeline.ingest(settings, ds)
    assert repeated.detail == stages["ingest"].detail
