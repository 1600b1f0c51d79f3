"""Indices of categories, one a row or several: by hand, and against a slow and obvious implementation."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recommender.features.encoding.vocabulary import Values, Vocabulary


def fitted(values: list[Any], rare_count: int) -> Vocabulary:
    return Vocabulary.fit(Values.of(pd.Series(values, dtype=object)), rare_count)


def lists(*cells: Any) -> pd.Series:
    """As Parquet files give them: arrays, and None where there is none."""
    return pd.Series([np.array(cell, object) if isinstance(cell, list) else cell for cell in cells], dtype=object)


def test_vocabulary() -> None:
    column = pd.Series(["b", "a", "b", "a", "c", None, 7, "7"], dtype=object)
    step = Vocabulary.fit(Values.of(column), rare_count=2)
    assert (step.values, step.counts) == (("7", "a", "b"), (2, 2, 2))
    assert (step.missing_share, step.other_share, len(step)) == (0.125, 0.125, 5)
    read = pd.Series(["b", "c", "new", None, 7, "a"], dtype=object)
    np.testing.assert_array_equal(step.transform(read), [4, 1, 1, 0, 2, 3])
    assert len(Vocabulary.fit(Values.of(column.iloc[:0]), rare_count=1)) == 2
    np.testing.assert_array_equal(step.transform(column.iloc[:0]), [])


def test_rows_in_another_order_give_the_same_vocabulary() -> None:
    rows = list("aabbbccdddd")
    assert fitted(rows[::-1], 1) == fitted(rows, 1)
    column = lists(["b", "a"], ["c"], ["a", "b"], None)
    backwards = column.iloc[::-1].reset_index(drop=True)
    assert Vocabulary.fit(Values.of_lists(backwards), 1) == Vocabulary.fit(Values.of_lists(column), 1)


def test_a_vocabulary_that_names_a_value_twice_is_refused() -> None:
    saved = fitted(["a", "b", "a"], 2).to_json().replace('"a"', '"a", "a"')
    with pytest.raises(ValidationError, match="different values"):
        Vocabulary.from_json(saved)


def test_of_lists_rows_with_a_value_are_counted() -> None:
    step = Vocabulary.fit(Values.of_lists(lists(["rock", "rock", "pop"], ["pop"], [], None, ["jazz", "folk"])), 2)
    assert (step.values, step.counts) == (("pop",), (2,))
    assert step.missing_share == pytest.approx(2 / 5)
    assert step.other_share == pytest.approx(2 / 5)  # rock once in one row; jazz and folk in one more


def test_lists_keep_their_order_without_repetitions_and_end_in_padding() -> None:
    step = fitted(["rock"] * 3 + ["pop"] * 2, 1)  # rock is 2, pop is 3
    read = lists(["pop", "rock", "pop"], ["new", "rock", "newer"], None, [], np.nan, ["rock"])
    expected = [[3, 2, 0], [1, 2, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [2, 0, 0]]
    np.testing.assert_array_equal(step.transform_lists(read, 3), expected)
    np.testing.assert_array_equal(step.transform_lists(read, 1), [row[:1] for row in expected])
    assert step.transform_lists(read.iloc[:0], 3).shape == (0, 3)
    # a column in which nothing is known has no arrays at all
    np.testing.assert_array_equal(step.transform_lists(pd.Series([np.nan, np.nan]), 2), np.zeros((2, 2)))


names = st.sampled_from(["a", "b", "c", "d", "e"])
cells = st.lists(st.one_of(st.none(), st.lists(names, max_size=6), st.tuples(names)), max_size=12)


@settings(max_examples=150, deadline=None)
@given(learnt=cells, read=cells, rare_count=st.integers(1, 3), width=st.integers(1, 4))
def test_lists_are_encoded_as_a_loop_over_rows_would(learnt: Any, read: Any, rare_count: int, width: int) -> None:
    step = Vocabulary.fit(Values.of_lists(pd.Series(learnt, dtype=object)), rare_count)
    counts = Counter(value for cell in learnt for value in set(cell or ()))
    frequent = sorted((value for value in counts if counts[value] >= rare_count), key=lambda v: (-counts[v], v))
    assert step.values == tuple(frequent)
    expected = []
    for cell in read:
        found = [frequent.index(value) + 2 if value in frequent else 1 for value in cell or ()]
        row = list(dict.fromkeys(found))[:width]
        expected.append(row + [0] * (width - len(row)))
    encoded = step.transform_lists(pd.Series(read, dtype=object), width)
    np.testing.assert_array_equal(encoded, np.array(expected).reshape(len(read), width))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.none(), names), max_size=20), st.integers(1, 3))
def test_lists_of_one_are_encoded_as_the_value_itself(rows: list[str | None], rare_count: int) -> None:
    single = pd.Series(rows, dtype=object)
    column = pd.Series([None if value is None else [value] for value in rows], dtype=object)
    step = Vocabulary.fit(Values.of(single), rare_count)
    assert Vocabulary.fit(Values.of_lists(column), rare_count) == step
    np.testing.assert_array_equal(step.transform_lists(column, 1)[:, 0], step.transform(single))


def test_only_so_many_are_named() -> None:
    step = Vocabulary.fit(Values.of(pd.Series(list("aaabbbccd"), dtype=object)), rare_count=1, most=2)
    assert step.values == ("a", "b")
    assert step.other_share == pytest.approx(3 / 9)
    np.testing.assert_array_equal(step.transform(pd.Series(["c", "a", None], dtype=object)), [1, 2, 0])


def test_those_without_a_name_share_vectors_by_their_hash() -> None:
    step = Vocabulary.fit(Values.of(pd.Series(list("aab"), dtype=object)), rare_count=2, buckets=4)
    assert len(step) == 3 + 4
    read = pd.Series(["b", "new", "newer", "b", "a", None], dtype=object)
    encoded = Vocabulary.from_json(step.to_json()).transform(read)
    # the CRC-32 of "b" is 0x71BEEFF9; the named one has index 2
    np.testing.assert_array_equal(encoded, [3 + 0x71BEEFF9 % 4, *encoded[1:3], 3 + 0x71BEEFF9 % 4, 2, 0])
    assert set(encoded[1:3]) <= set(range(3, 7))
    np.testing.assert_array_equal(step.transform_lists(lists(["b", "a"]), 2), [[encoded[0], 2]])
