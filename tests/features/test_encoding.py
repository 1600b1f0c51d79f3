import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.config.preprocessing import Preprocessing
from recommender.errors import ArtifactError, TrainingError
from recommender.features.definitions import Feature
from recommender.features.encoding import FeatureEncoder, load_encoder, save_encoder


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
NONE_IS_RARE = Preprocessing(rare_category_count=1)


def test_values_by_hand() -> None:
    encoder = FeatureEncoder.fit(FRAME, FEATURES, NONE_IS_RARE)
    numbers, categories = encoder.transform(FRAME)
    # age: filled with the median 30, mean 30, deviation sqrt(50); plays: log gives 0, 1, 2, 1
    age, plays = 10 / math.sqrt(50), 1 / math.sqrt(0.5)
    expected = [[-age, 0, -plays, 0], [0, 0, 0, 0], [0, 1, plays, 0], [age, 0, 0, 0]]
    np.testing.assert_allclose(numbers, expected, atol=1e-6)
    np.testing.assert_array_equal(categories, [[2], [3], [2], [0]])
    assert (numbers.dtype, categories.dtype) == (np.float32, np.int32)
    assert (encoder.numeric_width, encoder.category_inputs) == (4, [(4, 1)])


def test_rare_and_new_categories_share_one_index() -> None:
    frame = pd.DataFrame({"country": ["UK", "UK", "US", "US", "FR"]})
    encoder = FeatureEncoder.fit(frame, [categorical("country")], Preprocessing(rare_category_count=2))
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


def test_a_feature_may_be_prepared_otherwise() -> None:
    preprocessing = Preprocessing.model_validate({"features": {"age": {"scale": "minmax", "missing": "zero"}}})
    numbers, _ = FeatureEncoder.fit(FRAME, FEATURES, preprocessing).transform(FRAME)
    np.testing.assert_allclose(numbers[:, 0], [0.5, 0.75, 0, 1])
    np.testing.assert_array_equal(numbers[:, 1], [0, 0, 1, 0])
    plain, _ = FeatureEncoder.fit(FRAME, FEATURES).transform(FRAME)
    np.testing.assert_array_equal(numbers[:, 2:], plain[:, 2:])


def test_heavily_skewed_columns_take_the_log_without_being_declared() -> None:
    price = np.array([1.0] * 99 + [1e6])
    frame = pd.DataFrame({"price": price, "age": np.arange(100.0)})
    columns = FeatureEncoder.fit(frame, [numeric("price"), numeric("age")]).numeric
    assert [column.log.applied for column in columns] == [True, False]
    columns = FeatureEncoder.fit(frame, [numeric("price")], Preprocessing(log_skewness=None)).numeric
    assert not columns[0].log.applied


def test_statistics_tell_what_training_rows_were_like() -> None:
    encoder = FeatureEncoder.fit(FRAME, FEATURES, Preprocessing(rare_category_count=2))
    age, plays = encoder.numeric
    assert (encoder.rows, age.fill.missing_share, age.fill.value, plays.fill.value) == (4, 0.25, 30, 1)
    country = encoder.categorical[0].vocabulary
    assert (country.values, country.counts, country.missing_share, country.other_share) == (("UK",), (2,), 0.25, 0.25)
    lines = encoder.describe().splitlines()
    assert lines[0] == (
        "age: skewness 0.00; 25.0% missing, taken as the median 30; capped to 8.787 … 51.21, 0.00% beyond; "
        "mean 30, deviation 7.071"
    )
    assert lines[2] == "country: 1 categories, 25.0% rarer ones as other, 25.0% missing as unknown"


def test_what_is_encoded_does_not_depend_on_what_else_is() -> None:
    encoder = FeatureEncoder.fit(FRAME, FEATURES, NONE_IS_RARE)
    numbers, categories = encoder.transform(FRAME)
    for row in range(len(FRAME)):
        alone = encoder.transform(FRAME.iloc[[row]])
        np.testing.assert_array_equal(alone[0], numbers[[row]])
        np.testing.assert_array_equal(alone[1], categories[[row]])


def test_json_round_trip(tmp_path: Path) -> None:
    encoder = FeatureEncoder.fit(FRAME, FEATURES)
    save_encoder(encoder, "user", tmp_path)
    assert load_encoder("user", tmp_path) == encoder


@pytest.mark.parametrize(
    ("found", "replaced"),
    [('"centre": 30.0', '"centre": "a lot"'), ('"centre": 30.0', '"centre": NaN'), ('"rows": 4,', ""), ("{", "")],
)
def test_statistics_are_checked_when_they_are_read(tmp_path: Path, found: str, replaced: str) -> None:
    save_encoder(FeatureEncoder.fit(FRAME, FEATURES), "user", tmp_path)
    path = tmp_path / "user_encoder.json"
    text = path.read_text()
    assert found in text
    path.write_text(text.replace(found, replaced))
    with pytest.raises(ArtifactError, match="user_encoder.json does not hold preprocessing statistics .*train the"):
        load_encoder("user", tmp_path)


def test_no_statistics_at_all(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="FileNotFoundError"):
        load_encoder("item", tmp_path)


def test_missing_column_is_named() -> None:
    with pytest.raises(TrainingError, match="lack country"):
        FeatureEncoder.fit(FRAME.drop(columns="country"), FEATURES)


def several(name: str) -> Feature:
    return Feature(name, "item", "categories", False, "attribute", None, name)


def vector(name: str, width: int) -> Feature:
    return Feature(name, "item", "vector", False, "attribute", None, name, width=width)


ITEMS = pd.DataFrame(
    {
        "energy": [0.5, np.nan, 0.5],
        "genres": [np.array(["rock", "pop"], object), None, ["rock"]],
        "creator": ["x", "y", None],
        "title": [np.array([0.6, 0.8], np.float32), None, np.array([1, 0], np.float32)],
    }
)
ITEM_FEATURES = [several("genres"), vector("title", 2), numeric("energy"), categorical("creator")]


def test_lists_and_vectors_by_hand() -> None:
    encoder = FeatureEncoder.fit(ITEMS, ITEM_FEATURES, NONE_IS_RARE, max_categories=3)
    numbers, categories = encoder.transform(ITEMS)
    # the energy and its flag; then the title's two numbers, as they are, and theirs
    np.testing.assert_allclose(numbers, [[0, 0, 0.6, 0.8, 0], [0, 1, 0, 0, 1], [0, 0, 1, 0, 0]], atol=1e-7)
    # the creator; then up to three genres
    np.testing.assert_array_equal(categories, [[2, 2, 3, 0], [3, 0, 0, 0], [0, 2, 0, 0]])
    assert (encoder.numeric_width, encoder.category_inputs) == (5, [(4, 1), (4, 3)])
    assert (numbers.dtype, categories.dtype) == (np.float32, np.int32)
    assert encoder.describe().splitlines()[1::2] == [
        "title: 2 numbers as they are; 33.3% missing, taken as zeros",
        "genres: 2 categories, 0.0% rarer ones as other, 33.3% missing as unknown; the first 3 of a row",
    ]
    assert FeatureEncoder.from_json(encoder.to_json()) == encoder


def test_missing_is_told_from_the_value_it_is_filled_with() -> None:
    encoder = FeatureEncoder.fit(ITEMS, ITEM_FEATURES)
    read = ITEMS.assign(title=[np.zeros(2), None, np.zeros(2)])
    numbers, _ = encoder.transform(read)
    np.testing.assert_array_equal(numbers[0] != numbers[1], [False, True, False, False, True])


def test_a_vector_that_holds_no_number_is_missing() -> None:
    encoder = FeatureEncoder.fit(ITEMS, [vector("title", 2)])
    read = pd.DataFrame({"title": [np.array([np.nan, 1]), [np.inf, 0], [1e300, 0], (0.5, 0.5)]})
    numbers, _ = encoder.transform(read)
    np.testing.assert_array_equal(numbers, [[0, 0, 1]] * 3 + [[0.5, 0.5, 0]])
    nothing, _ = encoder.transform(pd.DataFrame({"title": [np.nan, None]}))
    np.testing.assert_array_equal(nothing, [[0, 0, 1]] * 2)


def test_a_vector_of_another_width_is_refused() -> None:
    encoder = FeatureEncoder.fit(ITEMS, [vector("title", 2)])
    with pytest.raises(TrainingError, match="title holds vectors of 3 numbers in place of 2: build the feature snap"):
        encoder.transform(pd.DataFrame({"title": [None, np.ones(3)]}))
    with pytest.raises(TrainingError, match="title holds vectors of 2 numbers in place of 16"):
        FeatureEncoder.fit(ITEMS, [vector("title", 16)])


def test_what_a_snapshot_file_holds_is_encoded_alike(tmp_path: Path) -> None:
    ITEMS.to_parquet(tmp_path / "items.parquet")
    read = pd.read_parquet(tmp_path / "items.parquet")
    encoder = FeatureEncoder.fit(read, ITEM_FEATURES, NONE_IS_RARE)
    assert encoder == FeatureEncoder.fit(ITEMS, ITEM_FEATURES, NONE_IS_RARE)
    for found, expected in zip(encoder.transform(read), encoder.transform(ITEMS), strict=True):
        np.testing.assert_array_equal(found, expected)


anything = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.integers(-(2**62), 2**62))


@settings(max_examples=60, deadline=None)
@given(
    learnt=st.lists(anything, max_size=8),
    read=st.lists(anything, min_size=1, max_size=8),
    skewed=st.booleans(),
    preprocessing=st.builds(
        Preprocessing,
        missing=st.sampled_from(["median", "mean", "zero"]),
        log_skewness=st.sampled_from([None, 1.0]),
        cap_deviations=st.sampled_from([None, 0.5, 3.0]),
        scale=st.sampled_from(["standard", "minmax", "robust", "none"]),
    ),
)
def test_numbers_are_always_finite_and_within_their_bounds(
    learnt: list[object], read: list[object], skewed: bool, preprocessing: Preprocessing
) -> None:
    encoder = FeatureEncoder.fit(
        pd.DataFrame({"x": pd.Series(learnt, dtype=object)}), [numeric("x", skewed)], preprocessing
    )
    numbers, _ = encoder.transform(pd.DataFrame({"x": pd.Series(read, dtype=object)}))
    assert np.isfinite(numbers).all()
    if preprocessing.scale == "minmax":
        assert (numbers[:, 0] >= 0).all() and (numbers[:, 0] <= 1).all()
    if preprocessing.scale == "standard" and preprocessing.cap_deviations is not None:
        assert np.abs(numbers[:, 0]).max() <= preprocessing.cap_deviations
    assert FeatureEncoder.from_json(encoder.to_json()) == encoder
