import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.errors import TrainingError
from recommender.features.definitions import Feature
from recommender.features.encoding import FeatureEncoder


def numeric(name: str, skewed: bool = False) -> Feature:
    return Feature(name, "user", "numeric", skewed, "attribute", None, name)


def categorical(name: str) -> Feature:
    return Feature(name, "user", "categorical", False, "attribute", None, name)


FRAME = pd.DataFrame(
    {
        "age": [20.0, 30.0, np.nan, 40.0],
        "plays": [0.0, math.e - 1, math.e**2 - 1, math.e - 1],
        "country": ["UK", "US", "UK", None],
    }
)
FEATURES = [numeric("age"), categorical("country"), numeric("plays", skewed=True)]


def test_values_by_hand() -> None:
    encoder = FeatureEncoder.fit(FRAME, FEATURES, min_category_count=1)
    numbers, categories = encoder.transform(FRAME)
    # age: filled with the median 30, mean 30, deviation sqrt(50); plays: log gives 0, 1, 2, 1
    age, plays = 10 / math.sqrt(50), 1 / math.sqrt(0.5)
    expected = [[-age, 0, -plays, 0], [0, 0, 0, 0], [0, 1, plays, 0], [age, 0, 0, 0]]
    np.testing.assert_allclose(numbers, expected, atol=1e-6)
    np.testing.assert_array_equal(categories, [[2], [3], [2], [0]])
    assert (numbers.dtype, categories.dtype) == (np.float32, np.int32)
    assert (encoder.numeric_width, encoder.category_sizes) == (4, [4])


def test_rare_and_new_categories_share_one_index() -> None:
    frame = pd.DataFrame({"country": ["UK", "UK", "US", "US", "FR"]})
    encoder = FeatureEncoder.fit(frame, [categorical("country")], min_category_count=2)
    _, categories = encoder.transform(pd.DataFrame({"country": ["FR", "DE", "US", "UK", None, np.nan]}))
    np.testing.assert_array_equal(categories[:, 0], [1, 1, 3, 2, 0, 0])


def test_far_values_are_capped_at_three_deviations() -> None:
    encoder = FeatureEncoder.fit(FRAME, [numeric("age")])
    numbers, _ = encoder.transform(pd.DataFrame({"age": [1000.0, -1000.0, np.inf, 1e35]}))
    np.testing.assert_array_equal(numbers, [[3, 0], [-3, 0], [0, 1], [0, 1]])


def test_constant_and_empty_columns_encode_to_zero() -> None:
    frame = pd.DataFrame({"constant": [7.0, 7.0], "empty": [np.nan, np.nan]})
    numbers, _ = FeatureEncoder.fit(frame, [numeric("constant"), numeric("empty")]).transform(frame)
    np.testing.assert_array_equal(numbers, [[0, 0, 0, 1], [0, 0, 0, 1]])


def test_json_round_trip() -> None:
    encoder = FeatureEncoder.fit(FRAME, FEATURES)
    assert FeatureEncoder.from_json(encoder.to_json()) == encoder


def test_missing_column_is_named() -> None:
    with pytest.raises(TrainingError, match="lack country"):
        FeatureEncoder.fit(FRAME.drop(columns="country"), FEATURES)


anything = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-(2**62), 2**62))


@settings(max_examples=60, deadline=None)
@given(
    learnt=st.lists(anything, max_size=8),
    read=st.lists(anything, min_size=1, max_size=8),
    skewed=st.booleans(),
)
def test_numbers_are_always_finite_and_capped(learnt: list[object], read: list[object], skewed: bool) -> None:
    features = [numeric("x", skewed)]
    encoder = FeatureEncoder.fit(pd.DataFrame({"x": pd.Series(learnt, dtype=object)}), features)
    numbers, _ = encoder.transform(pd.DataFrame({"x": pd.Series(read, dtype=object)}))
    assert np.isfinite(numbers).all()
    assert np.abs(numbers).max() <= 3
