"""Which events are trained on, and what a data set takes from the lake."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recommender.config.profile import Profile
from recommender.data.dataset import SECONDS_A_DAY, night_end
from recommender.errors import NotReadyError, TrainingError
from recommender.features.definitions import declared_features, feature_tables
from recommender.features.loading import fingerprint, load_dataset, load_pair_features, training_events
from recommender.storage.lake import Lake
from tests.features.pair_world import CATEGORIES, NIGHT, pair_profile, write_pair_world, write_table
from tests.models.worlds import checkerboard


def profile(window_days: int = 1000, **k_core: int) -> Profile:
    return Profile.model_validate(
        {
            "name": "board",
            "events": {"path": "events.csv", "columns": {"user_id": "u", "item_id": "i", "ts": "t"}},
            "items": {"path": "items.csv", "columns": {"item_id": "i"}},
            "training": {"window_days": window_days},
            "preprocessing": {"k_core": k_core},
        }
    )


def test_without_a_k_core_the_whole_window_is_trained_on() -> None:
    dataset = checkerboard()
    event, outside = training_events(profile(window_days=30), dataset)
    np.testing.assert_array_equal(event, np.flatnonzero(dataset.ts >= dataset.until - 30 * SECONDS_A_DAY))
    assert len(outside) == 0


def test_the_k_core_is_that_of_the_window_alone() -> None:
    dataset = checkerboard()
    event, outside = training_events(profile(window_days=30, users=3, items=3), dataset)
    window, _ = training_events(profile(window_days=30), dataset)
    assert 0 < len(event) < len(window)
    np.testing.assert_array_equal(np.sort(np.append(event, outside)), window)
    assert np.bincount(dataset.user[event])[dataset.user[event]].min() >= 3
    assert np.bincount(dataset.item[event])[dataset.item[event]].min() >= 3
    # older events give nobody the partners that the window doesn't
    older = np.setdiff1d(np.arange(len(dataset.user)), window)
    recent = {name: np.delete(getattr(dataset, name), older) for name in ("user", "item", "ts", "weight")}
    alone, _ = training_events(profile(users=3, items=3), dataclasses.replace(dataset, **recent))
    assert len(alone) == len(event)


def test_an_empty_core_is_an_error_that_says_what_to_lower() -> None:
    with pytest.raises(TrainingError, match=r"k_core leaves none of 320 events: no users with 50 items .* lower it"):
        training_events(profile(users=50), checkerboard())


@pytest.fixture
def pair_lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    write_pair_world(lake, pair_profile())
    return lake


def test_lists_are_given_as_they_are(pair_lake: Lake) -> None:
    items = pd.DataFrame({"item_id": ["i0", "i1", "i2", "i3", "i9"]})
    pair_lake.write("items", NIGHT, items.assign(category=[*CATEGORIES[:4], None], energy=0.0))
    dataset = load_dataset(pair_lake, pair_profile(), NIGHT, known=NIGHT)
    found = [None if cell is None else list(cell) for cell in dataset.item_features["category"]]
    assert found == [["pop", "rock"], ["rock"], [], None, None], "an item without a snapshot has none"
    vectors = dataset.item_features["title_embedding_4"]
    assert [None if cell is None else (cell.dtype, len(cell)) for cell in vectors][2:] == [
        (np.dtype("float32"), 4),
        (np.dtype("float32"), 4),
        None,
    ]


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_events_of_one_second_have_one_order_however_they_arrive(order: list[int], pair_lake: Lake) -> None:
    events = pd.DataFrame({"user_id": "u0", "item_id": "i0", "ts": pd.Timestamp("2026-01-05 05:30")}, index=range(3))
    events = events.assign(event_type=list("abc"), landed=NIGHT, removed=False, weight=np.float32([3, 1, 2]))
    pair_lake.write("events", NIGHT, events.iloc[order].astype({"ts": "datetime64[us]"}))
    assert list(load_dataset(pair_lake, pair_profile(), NIGHT, known=NIGHT).weight) == [1, 2, 3]


def test_a_dataset_says_which_definitions_made_it(pair_lake: Lake) -> None:
    profile = pair_profile()
    versions = load_dataset(pair_lake, profile, NIGHT, known=NIGHT).feature_versions
    assert {entity: list(found) for entity, found in versions.items()} == {
        "user": ["events_7d", "country"],
        "item": ["events_7d", "category", "title_embedding_4"],
    }
    assert versions["user"] == {feature.name: feature.version for feature in declared_features(profile, "user")}


def test_a_snapshot_of_other_definitions_is_refused(pair_lake: Lake) -> None:
    profile = pair_profile()
    table = feature_tables(profile)["item_features"]
    changed = [dataclasses.replace(f, version="0ld") if f.name == "category" else f for f in table.features]
    write_table(pair_lake, dataclasses.replace(table, features=tuple(changed)), NIGHT)
    with pytest.raises(NotReadyError, match=r"item_features .* 2026-01-05 .* of category: .*run `recommender run feat"):
        load_dataset(pair_lake, profile, NIGHT, known=NIGHT)
    pair_lake.write("item_features", NIGHT, pair_lake.read("item_features", NIGHT))
    with pytest.raises(NotReadyError, match="of events_7d, category, title_embedding_4"):
        load_dataset(pair_lake, profile, NIGHT, known=NIGHT)
    pair_lake.remove("item_features", NIGHT)
    with pytest.raises(NotReadyError, match="no item_features snapshot for 2026-01-05"):
        load_dataset(pair_lake, profile, NIGHT, known=NIGHT)


def test_pairs_of_other_definitions_are_refused(pair_lake: Lake) -> None:
    profile = pair_profile()
    table = feature_tables(profile)["country_category_affinity"]
    changed = [dataclasses.replace(feature, version="0ld") for feature in table.features]
    write_table(pair_lake, dataclasses.replace(table, features=tuple(changed)), NIGHT)
    with pytest.raises(NotReadyError, match="country_category_affinity .* of country_category_affinity_90d"):
        load_dataset(pair_lake, profile, NIGHT, known=NIGHT)


def test_a_data_set_brings_its_pair_features(pair_lake: Lake) -> None:
    profile = pair_profile()
    dataset = load_dataset(pair_lake, profile, NIGHT, known=NIGHT)
    assert dataset.pairs is not None
    asked = load_pair_features(pair_lake, profile, dataset, night_end(NIGHT))
    assert dataset.pairs.names == asked.names == tuple(profile.features.pair)
    users, items = np.array([0, 2]), np.array([1, 4])
    np.testing.assert_array_equal(dataset.pairs.matrix(users, items), asked.matrix(users, items))
    assert load_dataset(pair_lake, pair_profile(pair=[]), NIGHT, known=NIGHT).pairs is None


def test_affinities_are_looked_up_by_the_first_category(pair_lake: Lake) -> None:
    keys = load_dataset(pair_lake, pair_profile(), NIGHT, known=NIGHT).affinity_keys
    assert {name: values.tolist() for name, values in keys.items()} == {
        "country": ["UK", "FR", None, "UK"],
        "category": ["pop", "rock", None, None, "jazz"],
    }
    assert load_dataset(pair_lake, pair_profile(pair=[]), NIGHT, known=NIGHT).affinity_keys == {}


@pytest.mark.parametrize(
    "cells",
    [
        [["pop"], ["rock"], [], None, ["jazz"]],  # a value gone
        [["rock", "pop"], ["rock"], [], None, ["jazz"]],  # another order
        [["pop", "rock", "rock"], [], [], None, ["jazz"]],  # the same values in other rows
        [["pop", "rock"], ["rock"], None, [], ["jazz"]],  # missing is not empty
    ],
)
def test_a_fingerprint_reads_lists(pair_lake: Lake, cells: list[list[str] | None]) -> None:
    dataset = load_dataset(pair_lake, pair_profile(), NIGHT, known=NIGHT)
    again = load_dataset(pair_lake, pair_profile(), NIGHT, known=NIGHT)
    assert fingerprint(again) == fingerprint(dataset)
    changed = dataset.item_features.assign(category=pd.Series(cells))
    assert fingerprint(dataclasses.replace(dataset, item_features=changed)) != fingerprint(dataset)


def test_a_fingerprint_reads_vectors_and_versions(pair_lake: Lake) -> None:
    dataset = load_dataset(pair_lake, pair_profile(), NIGHT, known=NIGHT)
    vectors = dataset.item_features["title_embedding_4"].copy()
    vectors[0] = vectors[0] + np.float32(1e-6)
    moved = dataclasses.replace(dataset, item_features=dataset.item_features.assign(title_embedding_4=vectors))
    user, item = dataset.feature_versions["user"], dataset.feature_versions["item"]
    redefined = dataclasses.replace(dataset, feature_versions={"user": {**user, "country": "0ld"}, "item": item})
    assert len({fingerprint(dataset), fingerprint(moved), fingerprint(redefined)}) == 3
