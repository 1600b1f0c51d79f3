"""What `recommender preprocessing` shows of a model: every statistic, and no value of a personal column."""

import json
import re
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recommender.cli import app, console
from recommender.config.preprocessing import Preprocessing
from recommender.config.settings import Settings, load_settings
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.features.definitions import Feature
from recommender.models.popularity import Popularity
from recommender.models.two_tower import TwoTower
from recommender.storage import registry
from recommender.storage.artifacts import checksum, writing
from recommender.storage.postgres import connect
from tests.models.worlds import ITEM_FEATURES, PROFILE, USER_FEATURES, checkerboard, rows_of

LISTS = Feature("styles", "item", "categories", False, "attribute", None, "the item's styles")
VECTOR = Feature("title_embedding_2", "item", "vector", False, "title_embedding_{n}", None, "the title", width=2)


@pytest.fixture
def board(home: Path, tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A world whose champion was fitted on the checkerboard."""
    (tmp_path / "board.yaml").write_text(PROFILE)
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    monkeypatch.setenv("RECOMMENDER_PROFILE", str(tmp_path / "board.yaml"))
    monkeypatch.setattr(console.out, "_width", 200)
    monkeypatch.setattr(console.err, "_width", 200)
    settings = load_settings(reads_sources=False)
    dataset = checkerboard()
    half = [n % 4 < 2 for n in range(len(dataset.item_ids))]  # of either colour
    dataset.item_features["styles"] = [["dotted", "wooden"] if known else ["dotted"] for known in half]
    dataset.item_features["title_embedding_2"] = [None, *[[0.6, 0.8]] * (len(half) - 1)]
    preprocessing = Preprocessing.model_validate({"features": {"country": {"rare_category_count": 161}}})
    config = TwoTowerConfig(dimension=8, history_length=4, batch_size=256)
    item_features = [*ITEM_FEATURES, LISTS, VECTOR]
    model = TwoTower(config, Training(device="cpu"), USER_FEATURES, item_features, preprocessing, max_categories=4)
    model.fit(dataset, rows_of(dataset), epochs=1)
    folder = settings.artifacts / "tower-1"
    with writing(folder) as scratch:
        model.save(scratch)
        metrics = {"data": {"rows": 320, "outside_core": 5, "trained_to": "2020-06-30"}}
        (scratch / "metrics.json").write_text(json.dumps(metrics))
    with writing(settings.artifacts / "popularity-1") as scratch:
        Popularity().save(scratch)
    with connect(settings) as connection:
        for name, status in (("tower-1", "champion"), ("popularity-1", "retired")):
            artifact = settings.artifacts / name
            kind, night = name.split("-")[0], date(2020, 6, 30)
            registry.register(connection, name, kind, night, artifact, checksum(artifact), {}, {}, status=status)
    return settings


def shown(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["preprocessing", *arguments])
    return result.exit_code, " ".join(result.output.split())


def test_every_statistic_is_shown(board: Settings) -> None:
    code, text = shown()
    assert code == 0, text
    assert "tower-1, fitted on 320 rows up to 2020-06-30, the k-core of 325 events" in text
    # each user has 8 events, so that the log of 9 is all there is
    assert "user events_total 0.0% 8 (median) 0.0 yes" in text
    assert "item category 0.0% 2 0.0% 1 black 50.0%, white 50.0%" in text
    assert "item styles 0.0% 2 0.0% first 4 dotted 100.0%, wooden" in text
    assert re.search(r"item title_embedding_2 [1-9]\.\d% 0 2, as they are", text)
    assert shown("tower-1") == (code, text)


def test_of_personal_columns_only_counts_are_shown(board: Settings) -> None:
    code, text = shown()
    assert code == 0
    assert "user country 0.0% 0 100.0% 1 personal, withheld" in text
    assert text.count("black") == 1
    # a column that the profile has dropped since can't be known not to be personal
    board.profile_path.write_text(PROFILE.replace(", country: c", "").replace(", country]", "]"))
    assert "user country 0.0% 0 100.0% 1 personal, withheld" in shown()[1]
    board.profile_path.write_text(PROFILE.replace("category: c", "category: {column: c, personal: true}"))
    assert "black" not in shown()[1]
    styles = PROFILE.replace("category: c}", "category: c, styles: {column: s, separator: ',', personal: true}}")
    board.profile_path.write_text(styles)
    text = shown()[1]
    assert "black" in text and "dotted" not in text


def test_what_is_wrong_is_one_line(board: Settings) -> None:
    assert shown("tower-9") == (2, "error: no model is named 'tower-9': `recommender status` lists the latest")
    assert shown("popularity-1") == (2, "error: popularity-1 is popularity, which reads no features")
    encoder = board.artifacts / "tower-1" / "item_encoder.json"
    encoder.write_text(encoder.read_text() + " ")
    code, text = shown()
    assert code == 2
    assert "item_encoder.json is missing or corrupt: train the night again" in text


def test_before_the_first_night(board: Settings) -> None:
    with connect(board) as connection:
        connection.execute("update reco.models set status = 'retired'")
    assert shown() == (2, "error: no model serves yet: run `recommender nightly --ds …` first")
