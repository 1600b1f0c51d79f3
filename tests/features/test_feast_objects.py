"""What is in Feast's registry: pairs computed on demand, services by model version, and nothing undeclared."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from feast import FeatureStore
from feast.types import Array, Float32, String

from recommender.config.settings import Settings
from recommender.data.dataset import night_end
from recommender.features.definitions import declared_features, feature_tables
from recommender.features.feast_objects import PAIR_SERVICE, PAIR_VIEW, SERVICE
from recommender.features.loading import load_dataset, load_pair_features, training_rows
from recommender.features.store import FEATURE_REPO, apply, feature_store, materialize, register_service
from recommender.features.values import (
    historical_features,
    historical_pair_features,
    online_features,
    online_pair_features,
)
from recommender.storage.lake import Lake
from tests.features.pair_world import (
    CATEGORIES,
    COUNTRIES,
    ITEMS,
    NEXT,
    NIGHT,
    PAIRS,
    USERS,
    pair_profile,
    write_pair_world,
)

MODEL = "two_tower-2026-01-05-0a1b2c3d"
ASKED_AT = datetime(2026, 1, 14, 5, 30, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(pair_profile(), tmp_path / "small.yaml", tmp_path, tmp_path / "home", None)


@pytest.fixture
def lake(settings: Settings) -> Lake:
    lake = Lake(settings.lake)
    write_pair_world(lake, settings.profile)
    return lake


@pytest.fixture
def store(settings: Settings, lake: Lake, database_url: str) -> FeatureStore:
    store = feature_store(settings, database_url)
    apply(store, settings.profile, settings.lake)
    return store


def every_pair(at: datetime) -> pd.DataFrame:
    firsts = [None if not values else values[0] for values in CATEGORIES]
    rows = [(user, item, country, first) for user, country in zip(USERS, COUNTRIES, strict=True)
            for item, first in zip(ITEMS, firsts, strict=True)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "country", "category"])
    return frame.assign(event_timestamp=pd.Series([at] * len(rows), dtype="datetime64[us, UTC]"))


def in_bulk(lake: Lake, settings: Settings, night: date, at: datetime) -> pd.DataFrame:
    dataset = load_dataset(lake, settings.profile, night, known=NIGHT)
    pairs = load_pair_features(lake, settings.profile, dataset, at)
    user, item = (index.ravel() for index in np.indices((len(USERS), len(ITEMS))))
    return pairs.frame(user, item)


def test_pairs_have_the_same_values_from_every_side(
    settings: Settings, lake: Lake, store: FeatureStore, database_url: str
) -> None:
    profile = settings.profile
    newest = historical_pair_features(store, profile, every_pair(ASKED_AT))
    assert list(newest.columns) == list(PAIRS)
    assert newest.notna().sum().to_list() == [15, 5, 20, 15, 20, 15], "some are missing, not all"
    pd.testing.assert_frame_equal(newest, in_bulk(lake, settings, NEXT, ASKED_AT))
    earlier = night_end(NIGHT) + timedelta(hours=7)
    found = historical_pair_features(store, profile, every_pair(earlier))
    pd.testing.assert_frame_equal(found, in_bulk(lake, settings, NIGHT, earlier))
    assert not found["taste_gap_energy"].equals(newest["taste_gap_energy"])

    materialize(store, NEXT)
    again = feature_store(settings, database_url)  # reads its function out of the registry
    for number, user in enumerate(USERS):
        online = online_pair_features(again, profile, lake, user, ITEMS, ASKED_AT)
        part = newest.iloc[number * len(ITEMS) : (number + 1) * len(ITEMS)].reset_index(drop=True)
        pd.testing.assert_frame_equal(online, part)
    nobody = online_pair_features(again, profile, lake, "nobody", ["i0", "nothing"], ASKED_AT)
    assert nobody.drop(columns=["hour_of_day", "day_of_week"]).isna().all(axis=None)
    assert nobody["hour_of_day"].to_list() == ["5", "5"]


def test_lists_and_vectors_come_back(settings: Settings, lake: Lake, store: FeatureStore) -> None:
    _, items = historical_features(store, settings.profile, every_pair(ASKED_AT).head(len(ITEMS)))
    assert [None if cell is None else list(cell) for cell in items["category"]] == CATEGORIES
    snapshot = lake.read("item_features", NEXT)["title_embedding_4"]
    assert [cell is None for cell in items["title_embedding_4"]] == [False] * 4 + [True]
    np.testing.assert_array_equal(np.stack(items["title_embedding_4"][:4]), np.stack(snapshot[:4]))
    materialize(store, NEXT)
    vectors = store.get_online_features(["item_features:title_embedding_4"], [{"item_id": "i1"}]).to_dict()
    assert vectors["title_embedding_4"][0] == snapshot[1].tolist()
    assert online_features(store, settings.profile, "u1")["country"] == "FR"


def test_training_rows_have_pairs_at_the_hour_of_the_event(settings: Settings, lake: Lake, store: FeatureStore) -> None:
    dataset = load_dataset(lake, settings.profile, NIGHT, known=NIGHT)
    rows = training_rows(store, settings.profile, dataset)
    assert rows.pair_features["hour_of_day"].to_list() == ["5", "12", "23"], "at 12 sharp it isn't 11"
    assert rows.pair_features["day_of_week"].to_list() == ["1"] * 3
    assert rows.pair_features["taste_gap_energy"].isna().all(), "the night's snapshot came after its events"
    without = training_rows(store, pair_profile(pair=[]), dataset)
    assert without.pair_features.shape[1] == 0


def test_views_say_types_versions_and_meaning(settings: Settings, store: FeatureStore) -> None:
    entities = {entity.name: entity.join_key for entity in store.list_entities()}
    assert entities == {"user": "user_id", "item": "item_id", "country": "country", "category": "category"}
    for name, table in feature_tables(settings.profile).items():
        view = store.get_feature_view(name)
        assert [column.name for column in view.entity_columns] == list(table.keys)
        assert dict(view.tags) == table.versions
        described = {
            field.name: (field.description, field.tags["version"], field.tags["unit"]) for field in view.features
        }
        assert described == {f.name: (f.description, f.version, f.unit) for f in table.features}
    fields = {field.name: field.dtype for field in store.get_feature_view("item_features").features}
    assert fields["category"] == Array(String)
    assert fields["title_embedding_4"] == Array(Float32)
    pairs = store.get_on_demand_feature_view(PAIR_VIEW)
    assert {field.name: field.dtype for field in pairs.features}["hour_of_day"] == String
    versions = {feature.name: feature.version for feature in declared_features(settings.profile, "pair")}
    del versions["country_category_affinity_90d"]
    assert dict(pairs.tags) == versions


def test_a_model_reads_what_it_was_trained_on_by_its_name(settings: Settings, store: FeatureStore) -> None:
    profile, rows = settings.profile, every_pair(ASKED_AT)
    register_service(store, profile, MODEL, kept=[])
    register_service(store, profile, MODEL, kept=[MODEL])
    service = store.get_feature_service(MODEL)
    assert service.tags["user_features:events_7d"] == declared_features(profile, "user")[0].version
    found = store.get_historical_features(rows, features=service, full_feature_names=True).to_df()
    users, items = historical_features(store, profile, rows)
    expected = [*(f"user_features__{name}" for name in users), *(f"item_features__{name}" for name in items)]
    assert list(found.columns[rows.shape[1] :]) == expected, "the declared features, not what pairs are computed from"
    pd.testing.assert_series_equal(found["user_features__events_7d"], users["events_7d"], check_names=False)
    materialize(store, NEXT)
    online = store.get_online_features(service, [{"user_id": "u0", "item_id": "i0"}], full_feature_names=True).to_dict()
    assert online["user_features__events_7d"] == [found["user_features__events_7d"][0]]


def test_services_live_as_long_as_their_models_and_definitions(settings: Settings, store: FeatureStore) -> None:
    profile, said = settings.profile, list[str]()

    def services() -> set[str]:
        return {service.name for service in store.list_feature_services()}

    register_service(store, profile, "old", kept=["old"])
    register_service(store, profile, MODEL, kept=[MODEL])
    assert services() == {SERVICE, PAIR_SERVICE, MODEL}, "the old model is no longer listed"
    apply(store, profile, settings.lake, said.append)
    assert services() == {SERVICE, PAIR_SERVICE, MODEL}
    apply(store, pair_profile(user=["events_7d", "country", "events_30d"]), settings.lake, said.append)
    assert services() == {SERVICE, PAIR_SERVICE, MODEL}, "one feature more takes nothing from the model"
    assert said == []
    apply(store, pair_profile(user=["events_7d"]), settings.lake, said.append)
    assert services() == {SERVICE, PAIR_SERVICE}
    assert len(said) == 1
    assert MODEL in said[0]
    assert "user_features:country gone" in said[0]


def test_what_is_no_longer_declared_is_removed(settings: Settings, lake: Lake, store: FeatureStore) -> None:
    narrow = pair_profile(pair=[], item=[])
    apply(store, narrow, settings.lake)
    assert [view.name for view in store.list_feature_views()] == ["user_features"]
    assert store.list_on_demand_feature_views() == []
    assert {entity.name for entity in store.list_entities()} == {"user", "item"}
    assert [source.name for source in store.list_data_sources()] == ["user_features_snapshots"]
    assert materialize(store, NEXT)
    apply(store, settings.profile, settings.lake)
    assert len(historical_pair_features(store, settings.profile, every_pair(ASKED_AT)).dropna()) > 0


def test_feast_own_command_line_reads_the_same_registry(
    settings: Settings, store: FeatureStore, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feast.cli.cli import cli

    register_service(store, settings.profile, MODEL, kept=[])
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    for kind, names in {
        "feature-views": {"user_features", "item_features", "country_category_affinity"},
        "entities": {"user", "item", "country", "category"},
        "feature-services": {SERVICE, PAIR_SERVICE, MODEL},
        "on-demand-feature-views": {PAIR_VIEW},
    }.items():
        answer = CliRunner().invoke(cli, ["-c", str(FEATURE_REPO), kind, "list"])
        assert answer.exit_code == 0, answer.output
        listed = {line.split()[0] for line in answer.output.splitlines()[1:] if line.strip()}
        assert names <= listed, answer.output
