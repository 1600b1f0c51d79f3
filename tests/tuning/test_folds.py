"""Folds of users: nothing that a fold's users did reaches the model that is scored on them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.data.dataset import Dataset, TrainingRows, Truth
from recommender.errors import TrainingError
from recommender.models.popularity import Popularity
from recommender.nightly.past import Material
from recommender.tuning.folds import check_folds, fold, fold_of
from tests.models.worlds import checkerboard, rows_of, truth_of

FOLDS = 3


class Yesterday:
    """The same world, however far back."""

    def before(self, days: int) -> tuple[Dataset, TrainingRows, Truth]:
        dataset = checkerboard()
        return dataset, rows_of(dataset), truth_of(dataset)


def material() -> Material:
    dataset = checkerboard()
    return Material(dataset, rows_of(dataset), truth_of(dataset), Yesterday())


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 7))
def test_a_user_s_fold_depends_on_nobody_else(users: list[str], folds: int) -> None:
    ids = np.array(users, dtype=object)
    together = fold_of(ids, folds)
    assert together.tolist() == [fold_of(ids[n : n + 1], folds)[0] for n in range(len(ids))]
    assert all(0 <= number < folds for number in together)


def test_every_user_is_scored_once() -> None:
    whole = material()
    scored = np.concatenate([fold(whole, number, FOLDS).truth.users for number in range(FOLDS)])
    assert whole.truth is not None
    np.testing.assert_array_equal(np.sort(scored), whole.truth.users)


@pytest.mark.parametrize("number", range(FOLDS))
def test_the_fold_s_users_are_in_nothing_that_is_learnt_from(number: int) -> None:
    whole = material()
    part = fold(whole, number, FOLDS)
    inside = set(np.flatnonzero(fold_of(whole.dataset.user_ids, FOLDS) == number).tolist())
    learnt, before = part.material, part.material.past.before(30)
    assert inside
    for dataset, rows, truth in ((learnt.dataset, learnt.rows, learnt.truth), before):
        assert truth is not None
        assert not inside & set(dataset.user.tolist())
        assert not inside & set(truth.users.tolist())
        assert len(rows.event) == len(rows.user_features) == len(rows.item_features) == len(dataset.user)
        assert set(dataset.user.tolist()) | inside == set(range(len(dataset.user_ids)))
    assert set(part.truth.users.tolist()) <= inside
    assert part.dataset is whole.dataset, "they are scored with their history"


def test_rows_stay_beside_their_features() -> None:
    whole = material()
    whole.rows.user_features["events_total"] = np.arange(len(whole.rows.event))
    left = fold(whole, 0, FOLDS).material
    kept = left.rows.user_features["events_total"].to_numpy()
    np.testing.assert_array_equal(left.dataset.item[left.rows.event], whole.dataset.item[kept])
    np.testing.assert_array_equal(left.dataset.user[left.rows.event], whole.dataset.user[kept])


def test_what_the_k_core_left_out_is_counted_on() -> None:
    dataset = checkerboard()
    rows = rows_of(dataset)
    outside = TrainingRows(rows.event[9:], rows.user_features[9:], rows.item_features[9:], outside=rows.event[:9])
    left = fold(Material(dataset, outside, truth_of(dataset), Yesterday()), 1, FOLDS).material
    together = np.sort(np.concatenate([left.rows.event, left.rows.outside]))
    np.testing.assert_array_equal(together, np.arange(len(left.dataset.user)))


def test_a_model_of_a_fold_counts_without_its_users() -> None:
    whole = material()
    part = fold(whole, 0, FOLDS)
    model = Popularity()
    model.fit(part.material.dataset, part.material.rows)
    counted = model.item_vectors().sum()
    model.attach(part.dataset)
    assert counted < model.item_vectors().sum()


def test_without_choices_there_is_nothing_to_fold() -> None:
    dataset = checkerboard()
    with pytest.raises(ValueError, match="validation choices"):
        fold(Material(dataset, rows_of(dataset), None, Yesterday()), 0, FOLDS)


def test_a_fold_without_choices_is_refused() -> None:
    dataset = checkerboard()
    everybody = truth_of(dataset)
    inside = fold_of(dataset.user_ids[everybody.users], FOLDS) != 1
    truth = Truth(everybody.users[inside], everybody.relevant[np.flatnonzero(inside)])
    check_folds(Material(dataset, rows_of(dataset), everybody, Yesterday()), FOLDS)
    with pytest.raises(TrainingError, match="1 of 3 folds have no user who chose anything .*: use fewer --folds"):
        check_folds(Material(dataset, rows_of(dataset), truth, Yesterday()), FOLDS)
