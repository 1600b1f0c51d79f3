"""What a model showed and what was chosen: written out by hand, kept without a user, found again or not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recommender.data.dataset import SECONDS_A_DAY, Dataset, Truth
from recommender.evaluation.reference import choices_frame, read_reference, shown_frame, take_reference, write_reference
from recommender.retrieval.exact import TopK
from tests.evaluation.literal import lists, truth, world


def small_world() -> Dataset:
    """Items 0, 1, 2 have 3, 1 and 1 events, item 3 none; each event is a day after the one before."""
    dataset = world(
        [[0, 1], [0], [0, 2]],
        items=4,
        item_features={"creator": ["Ann", "Bob", "Ann", None], "category": [["pop", "folk"], ["folk"], None, []]},
    )
    return replace(dataset, ts=dataset.until - SECONDS_A_DAY * np.array([50, 20, 40, 30, 10]))


def test_every_item_of_a_list_is_described() -> None:
    top = TopK(np.array([[2, 1], [1, -1]], np.int32), np.array([[0.9, 0.5], [0.7, -np.inf]], np.float32))
    shown = shown_frame(top, np.array([0, 1]), small_world())
    assert shown.users == 2
    expected = pd.DataFrame(
        {
            "rank": [1, 1, 2],
            "score": [0.7, 0.9, 0.5],
            "standard_score": [0.0, 1.0, -1.0],
            "knows_creator": [False, True, True],  # user 1 has met item 0 of Ann, user 0 items of both
            "popularity": [1 / 3, 1 / 3, 1 / 3],  # two of three known items are alike and below the third
            "age_days": [20.0, 10.0, 20.0],
            "days_since_last_event": [20.0, 10.0, 20.0],
            "category": ["folk", None, "folk"],
        }
    )
    pd.testing.assert_frame_equal(shown.rows, expected, check_dtype=False)


def test_choices_are_described_and_new_for_thirty_days() -> None:
    chosen = choices_frame(truth({0: [2], 1: [1, 2], 2: [1]}, 4), small_world())
    assert chosen.users == 3
    assert chosen.rows["age_days"].tolist() == [10, 10, 20, 20]
    assert chosen.rows["is_new"].all()
    oldest = choices_frame(truth({0: [0]}, 4), small_world()).rows
    assert oldest[["popularity", "age_days", "days_since_last_event", "category", "is_new"]].to_numpy().tolist() == [
        [pytest.approx(5 / 6), 50, 30, "pop", False]
    ]


def test_items_without_creator_and_category_have_no_such_columns() -> None:
    dataset = replace(small_world(), item_features=pd.DataFrame(index=range(4)))
    rows = shown_frame(lists([2], [1]), np.array([0, 1]), dataset).rows
    assert {"knows_creator", "category"}.isdisjoint(rows.columns)


@given(
    st.lists(st.lists(st.integers(-50, 50), min_size=4, max_size=4), min_size=1, max_size=5),
    st.sampled_from([0.5, 1.0, 4.0]),
    st.integers(-8, 8),
)
def test_standard_scores_ignore_a_models_scale(scores: list[list[int]], scale: float, shift: int) -> None:
    ranked = -np.sort(-np.array(scores, np.float32), axis=1)
    items = np.tile(np.arange(4, dtype=np.int32), (len(ranked), 1))
    users = np.zeros(len(ranked), np.int64)
    one, other = (
        shown_frame(TopK(items, values), users, small_world()).rows["standard_score"].sort_values(ignore_index=True)
        for values in (ranked, ranked * np.float32(scale) + np.float32(shift))
    )
    pd.testing.assert_series_equal(one, other, atol=1e-5)
    constant = (ranked == ranked[:, :1]).all(axis=1).sum()
    assert float((one**2).sum()) == pytest.approx(4 * (len(ranked) - constant), rel=1e-4)


def large_world(users: int) -> tuple[TopK, Truth, Dataset]:
    rng = np.random.default_rng(3)
    dataset = world(rng.integers(0, 50, (users, 2)).tolist(), 50, item_features={"category": ["a", "b"] * 25})
    top = TopK(rng.integers(0, 50, (users, 30), dtype=np.int32), rng.random((users, 30), dtype=np.float32))
    chosen = sparse.csr_matrix(np.eye(50, dtype=np.float32)[rng.integers(0, 50, users)])
    return top, Truth(np.arange(users), chosen), dataset


def test_many_users_are_sampled_the_same_way_each_time_and_nobody_is_named(tmp_path: Path) -> None:
    top, truth_, dataset = large_world(6_000)
    reference = take_reference(top, truth_, dataset)
    assert (reference.shown.users, len(reference.shown.rows)) == (5_000, 5_000 * 20)
    assert (reference.choices.users, len(reference.choices.rows)) == (5_000, 5_000)
    again = take_reference(top, truth_, dataset)
    pd.testing.assert_frame_equal(reference.shown.rows, again.shown.rows)
    pd.testing.assert_frame_equal(reference.choices.rows, again.choices.rows)
    assert {"user_id", "user"}.isdisjoint({*reference.shown.rows, *reference.choices.rows})
    # sorted by rank and score: a user's items can't be put together again by where they stand
    assert reference.shown.rows.groupby("rank")["score"].is_monotonic_increasing.all()


def test_what_was_kept_is_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "ds=2020-06-30" / "reference"
    assert read_reference(folder) is None
    reference = take_reference(*large_world(100))
    write_reference(folder, reference)
    write_reference(folder, reference)
    assert sorted(path.name for path in folder.iterdir()) == ["choices.parquet", "shown.parquet"]
    found = read_reference(folder)
    assert found is not None
    for kept, first in ((found.shown, reference.shown), (found.choices, reference.choices)):
        pd.testing.assert_frame_equal(kept.rows, first.rows)
        assert kept.users == first.users == 100
    (folder / "shown.parquet").unlink()
    assert read_reference(folder) is None


def test_lists_and_choices_of_nobody_are_empty(tmp_path: Path) -> None:
    nobody = Truth(np.zeros(0, np.int64), sparse.csr_matrix((0, 4), dtype=np.float32))
    empty = take_reference(TopK(np.zeros((0, 5), np.int32), np.zeros((0, 5), np.float32)), nobody, small_world())
    assert (len(empty.shown.rows), empty.shown.users, len(empty.choices.rows)) == (0, 0, 0)
    write_reference(tmp_path, empty)
    assert read_reference(tmp_path) is not None
