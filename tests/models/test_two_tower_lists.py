"""The two towers over items with any number of categories, and over vectors."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from recommender.columns import CATEGORY
from recommender.config.training import Training
from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import Dataset
from recommender.features.definitions import Feature
from recommender.models.two_tower import TwoTower
from tests.models.worlds import COLOURS, ITEM_FEATURES, ITEMS, USER_FEATURES, USERS, checkerboard, rows_of

SMALL = TwoTowerConfig(dimension=16, history_length=6, batch_size=64, max_epochs=25)
CATEGORIES = dataclasses.replace(ITEM_FEATURES[1], kind="categories")
LABEL = Feature("label", "item", "vector", False, "attribute", None, "two numbers of the item", width=2)
ENERGY = Feature("energy", "item", "numeric", False, "attribute", None, "how lively")


def fitted(dataset: Dataset, features: list[Feature], epochs: int = 25) -> TwoTower:
    model = TwoTower(SMALL, Training(seed=1, device="cpu"), USER_FEATURES, features)
    model.fit(dataset, rows_of(dataset), epochs=epochs)
    return model


def with_items(dataset: Dataset, **columns: object) -> Dataset:
    return dataclasses.replace(dataset, item_features=dataset.item_features.assign(**columns))


def listed(dataset: Dataset) -> Dataset:
    """Items have their colour, and every third item another category, shared by both colours; one has none."""
    colours = COLOURS[np.arange(len(dataset.item_ids)) % 2]
    lists = [np.array(["both", c] if n % 3 == 0 else [c], object) for n, c in enumerate(colours)]
    lists[5] = None  # type: ignore[call-overload]
    labels = [np.eye(2, dtype=np.float32)[n % 2] if n % 4 else None for n in range(len(lists))]
    return with_items(dataset, category=lists, label=labels)


def own_colour_scores_higher(model: TwoTower, newcomers: range) -> bool:
    scores = (model.user_vectors() @ model.item_vectors().T)[:USERS, newcomers.start : newcomers.stop]
    own = np.arange(USERS)[:, None] % 2 == np.array(newcomers) % 2
    return bool(scores[own].min() > scores[~own].max())


def test_new_items_follow_their_categories() -> None:
    model = fitted(listed(checkerboard()), [ITEM_FEATURES[0], CATEGORIES])
    model.attach(listed(checkerboard(items=ITEMS + 6)))
    assert own_colour_scores_higher(model, range(ITEMS, ITEMS + 6))


def test_one_category_each_gives_the_very_same_model() -> None:
    dataset = checkerboard()
    as_lists = with_items(dataset, category=[[colour] for colour in dataset.item_features[CATEGORY]])
    single, several = fitted(dataset, ITEM_FEATURES, 2), fitted(as_lists, [ITEM_FEATURES[0], CATEGORIES], 2)
    np.testing.assert_array_equal(single.item_vectors(), several.item_vectors())
    np.testing.assert_array_equal(single.user_vectors(), several.user_vectors())


def test_lists_and_vectors_are_saved_loaded_and_exported(tmp_path: Path) -> None:
    dataset = listed(checkerboard())
    features = [ITEM_FEATURES[0], CATEGORIES, LABEL]
    model = TwoTower(SMALL, Training(seed=1, device="cpu"), USER_FEATURES, features, max_categories=3)
    model.fit(dataset, rows_of(dataset), epochs=2)
    model.save(tmp_path)
    loaded = TwoTower.load(tmp_path)
    assert loaded.max_categories == 3
    loaded.attach(dataset)
    np.testing.assert_array_equal(loaded.item_vectors(), model.item_vectors())
    assert loaded.export_onnx(tmp_path)["onnx_max_abs_diff"] < 1e-5  # on 1, 2 and 257 rows


@pytest.mark.parametrize("feature", [ENERGY, LABEL], ids=["number", "vector"])
def test_missing_is_no_value(feature: Feature) -> None:
    """All that tells black from white is that black items lack what white ones have, all alike."""

    def make(items: int) -> Dataset:
        value = 0.5 if feature is ENERGY else np.zeros(2, np.float32)
        column = [value if n % 2 == 0 else None for n in range(items)]
        return with_items(checkerboard(items=items), **{feature.name: column})

    model = fitted(make(ITEMS), [feature])
    model.attach(make(ITEMS + 2))
    scores = (model.user_vectors() @ model.item_vectors().T)[:USERS]
    prefers_known = scores[:, ITEMS] - scores[:, ITEMS + 1]
    assert prefers_known[0::2].min() > 0 > prefers_known[1::2].max()
