import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import yaml

from recommender.config.profile import Profile
from recommender.data.dataset import Dataset
from recommender.errors import ConfigError, TrainingError
from recommender.features.definitions import Feature
from recommender.models.side import Catalogue, categories_of, require_columns, side_rows
from tests.models.worlds import ITEM_FEATURES, PROFILE, USER_FEATURES, checkerboard

CREATOR = Feature("creator", "item", "categorical", False, "attribute", None, "who made it")
CATEGORY = Feature("category", "item", "categories", False, "attribute", None, "what it is")


def shop(ids: Sequence[str], creators: Sequence[str | None], categories: Sequence[Sequence[str] | None]) -> Dataset:
    frame = pd.DataFrame({"creator": creators, "category": pd.Series(list(categories), dtype=object)})
    return dataclasses.replace(checkerboard(), item_ids=np.array(ids, dtype=object), item_features=frame)


def test_side_rows_have_a_one_at_each_item_of_a_value() -> None:
    dataset = shop("abc", ["x", None, "x"], [["p", "q"], ["q", "q"], None])
    np.testing.assert_array_equal(
        side_rows(dataset.item_features, [CREATOR, CATEGORY]).toarray(), [[1, 0, 1], [1, 0, 0], [1, 1, 0]]
    )
    assert side_rows(dataset.item_features, []).shape == (0, 3)


def test_new_items_stand_for_the_mean_of_those_they_share_the_first_value_with() -> None:
    tonight = shop(
        ["b", "by x", "c", "d", "of p", "of p and q", "stranger"],
        ["x", "x", "x", "y", "z", None, None],
        [["p"], ["q"], ["q"], ["p", "q"], ["p"], ["q", "p"], None],
    )
    catalogue = Catalogue(pd.Index(["a", "b", "c", "d"]), tonight, [CREATOR, CATEGORY])  # `a` is no longer listed
    expected = [
        [0, 1, 0, 0],
        [0, 0.5, 0.5, 0],
        [0, 0, 1, 0],
        [0, 0, 0, 1],
        [0, 0.5, 0, 0.5],
        [0, 1 / 3, 1 / 3, 1 / 3],
        [0, 0, 0, 0],
    ]
    np.testing.assert_allclose(catalogue.matrix.toarray(), expected, rtol=1e-6)
    scores = np.array([[1, 2, 3, 4], [0, 0, 6, 0]], np.float32)
    np.testing.assert_allclose(catalogue.spread(scores), scores @ np.transpose(expected), rtol=1e-6)


def test_the_same_items_are_themselves() -> None:
    dataset = checkerboard()
    catalogue = Catalogue(pd.Index(dataset.item_ids), dataset, [ITEM_FEATURES[1]])
    np.testing.assert_array_equal(catalogue.matrix.toarray(), np.eye(len(dataset.item_ids)))
    scores = np.ones((2, len(dataset.item_ids)), np.float32)
    assert catalogue.spread(scores) is scores


def test_a_missing_column_is_named() -> None:
    with pytest.raises(TrainingError, match="ease reads creator, which the data set lacks: declare it"):
        require_columns("ease", [ITEM_FEATURES[1], CREATOR], checkerboard())


@pytest.mark.parametrize(
    ("entity", "name", "cure"),
    [
        ("user", "countri", "did you mean 'country'"),
        ("user", "zodiac", "there are country; list it in features.user"),
        ("user", "events_total", "list it in features.user"),
        ("item", "categroy", "did you mean 'category'"),
    ],
)
def test_what_is_no_category_is_refused_with_the_cure(entity: str, name: str, cure: str) -> None:
    with pytest.raises(ConfigError, match=f"segments names '{name}', which is no declared category of the {entity}s"):
        categories_of(profile(), entity, [name], "segments")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=cure):
        categories_of(profile(), entity, [name], "segments")  # type: ignore[arg-type]


def test_the_usual_side_features_are_those_there_are() -> None:
    assert [feature.name for feature in categories_of(profile(), "item", None, "side_features")] == ["category"]
    assert categories_of(profile(), "item", [], "side_features") == ()
    assert categories_of(profile(), "user", ["country"], "segments")[0].kind == USER_FEATURES[1].kind


def profile() -> Profile:
    return Profile.model_validate(yaml.safe_load(PROFILE))
