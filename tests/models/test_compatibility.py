"""A model reads the features it was trained on, or says which it can't."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import Dataset
from recommender.errors import ArtifactError
from recommender.models.two_tower import TwoTower
from tests.models.worlds import ITEM_FEATURES, ITEMS, USER_FEATURES, checkerboard, rows_of

CONFIG = TwoTowerConfig(dimension=8, history_length=4, batch_size=256)
VERSIONS = {
    "user": {"events_total": "aaaaaaaa", "country": "bbbbbbbb"},
    "item": {"events_total": "cccccccc", "category": "dddddddd"},
}


def world(versions: Mapping[str, Mapping[str, str]]) -> Dataset:
    return dataclasses.replace(checkerboard(), feature_versions=versions)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that was trained on `VERSIONS`."""
    user, item = (
        [dataclasses.replace(feature, version=VERSIONS[feature.entity][feature.name]) for feature in features]
        for features in (USER_FEATURES, ITEM_FEATURES)
    )
    model, dataset = TwoTower(CONFIG, Training(device="cpu"), user, item), world(VERSIONS)
    model.fit(dataset, rows_of(dataset), epochs=1)
    folder = tmp_path_factory.mktemp("models") / "two_tower-2020-06-30-12345678"
    folder.mkdir()
    model.save(folder)
    return folder


@pytest.mark.parametrize(
    "versions",
    [VERSIONS, {}, {"user": VERSIONS["user"]}, {**VERSIONS, "item": {**VERSIONS["item"], "decade": "eeeeeeee"}}],
    ids=["the same", "unknown", "partly unknown", "one more"],
)
def test_the_same_definitions_are_read(saved: Path, versions: Mapping[str, Mapping[str, str]]) -> None:
    model = TwoTower.load(saved)
    model.attach(world(versions))
    assert model.item_vectors().shape == (ITEMS, CONFIG.dimension + 1)


def test_other_definitions_are_refused_by_name(saved: Path) -> None:
    model = TwoTower.load(saved)
    model.attach(world(VERSIONS))
    before = model.item_vectors()
    changed = {"user": {**VERSIONS["user"], "country": "0"}, "item": {**VERSIONS["item"], "category": "1"}}
    with pytest.raises(ArtifactError) as refusal:
        model.attach(world(changed))
    assert str(refusal.value) == (
        "two_tower-2020-06-30-12345678 was trained on other definitions of country, category than the snapshots of "
        "2020-06-30 hold: train again (`recommender run train`), or put the definitions back"
    )
    np.testing.assert_array_equal(model.item_vectors(), before)  # it still has the data set it had


def test_features_that_are_gone_are_refused_by_name(saved: Path) -> None:
    dataset = world({**VERSIONS, "user": {**VERSIONS["user"], "events_total": "0"}})
    dataset.item_features.drop(columns="category", inplace=True)
    with pytest.raises(
        ArtifactError,
        match=r"other definitions of events_total than the snapshots of 2020-06-30 hold and on category, which the "
        r"snapshots of 2020-06-30 lack: train again",
    ):
        TwoTower.load(saved).attach(dataset)


def test_of_many_the_first_are_named(saved: Path) -> None:
    model = TwoTower.load(saved)
    model.user_features = [dataclasses.replace(USER_FEATURES[0], name=f"events_{n}d") for n in range(1, 10)]
    with pytest.raises(ArtifactError, match="events_1d, events_2d, events_3d, events_4d, events_5d and 4 more, which"):
        model.attach(world({}))
