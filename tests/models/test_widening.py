"""Candidates beside a batch's own."""

import numpy as np
import pytest

from recommender.config.two_tower import TwoTower as TwoTowerConfig
from recommender.data.dataset import TrainingRows
from recommender.models.widening import Widening
from recommender.training.batches import Batch, BatchMaker
from tests.models.worlds import ITEMS, checkerboard, rows_of

DATASET = checkerboard(items=ITEMS + 2)
LEFT_OUT = 7
"""An item with events but no training row."""
EVERY = rows_of(DATASET)
KEPT = DATASET.item != LEFT_OUT
ROWS = TrainingRows(
    EVERY.event[KEPT],
    EVERY.user_features[KEPT].reset_index(drop=True),
    EVERY.item_features[KEPT].reset_index(drop=True),
)


def batch_and_shares() -> tuple[Batch, np.ndarray]:
    maker = BatchMaker(
        DATASET,
        ROWS,
        history_length=4,
        history_dropout=0,
        stretch_days=30,
        stretch_events=4,
        hide="latest",
        batch_size=12,
    )
    return next(maker.epoch(np.random.default_rng(0))), maker.shares


def widened(seed: int = 1, **keys: object) -> tuple[Batch, Batch, np.ndarray, np.ndarray]:
    batch, shares = batch_and_shares()
    wide, log_q = Widening(DATASET, ROWS, shares, TwoTowerConfig.model_validate(keys))(
        batch, np.random.default_rng(seed)
    )
    return batch, wide, log_q, shares


def test_nothing_is_added_by_default_and_nothing_drawn() -> None:
    batch, shares = batch_and_shares()
    rng = np.random.default_rng(1)
    wide, log_q = Widening(DATASET, ROWS, shares, TwoTowerConfig())(batch, rng)
    assert wide is batch
    assert rng.random() == np.random.default_rng(1).random()
    np.testing.assert_allclose(np.exp(log_q), 1 - (1 - shares[batch.candidates]) ** batch.draws, rtol=1e-4)


@pytest.mark.parametrize("keys", [{"negatives": "uniform"}, {"negatives": "popularity"}, {"loss": "full_softmax"}])
def test_targets_stay_and_what_the_user_met_is_no_negative(keys: dict[str, object]) -> None:
    batch, wide, log_q, shares = widened(**keys)
    assert len(wide.candidates) > len(batch.candidates)
    assert (np.diff(wide.candidates) > 0).all()
    assert set(batch.candidates) <= set(wide.candidates)
    assert shares[wide.candidates].min() > 0  # neither new items nor the one left out
    np.testing.assert_array_equal(wide.candidates[wide.targets[1]], batch.candidates[batch.targets[1]])
    met = {(row, item) for row, user in enumerate(wide.users) for item in np.flatnonzero(DATASET.seen[user].toarray())}
    met = {(row, item) for row, item in met if item in set(wide.candidates)}
    assert {(row, wide.candidates[place]) for row, place in zip(*wide.forbidden, strict=True)} == met
    assert len(log_q) == len(wide.candidates)


@pytest.mark.parametrize("keys", [{"negatives": "uniform"}, {"loss": "full_softmax"}])
def test_features_are_of_a_row_of_the_same_item(keys: dict[str, object]) -> None:
    batch, wide, _, _ = widened(**keys)
    items = DATASET.item[ROWS.event]
    np.testing.assert_array_equal(items[wide.candidate_rows], wide.candidates)
    own = np.searchsorted(wide.candidates, batch.candidates)
    np.testing.assert_array_equal(wide.candidate_rows[own], batch.candidate_rows)  # no later than their targets


def test_all_items_with_a_row_take_part_in_the_full_softmax() -> None:
    _, wide, _, shares = widened(loss="full_softmax")
    np.testing.assert_array_equal(wide.candidates, np.flatnonzero(shares))


def test_the_chance_of_a_candidate_is_that_of_coming_either_way() -> None:
    batch, wide, log_q, shares = widened(negatives="uniform", negatives_per_positive=2)
    not_in_batch = (1 - shares[wide.candidates].astype(np.float64)) ** batch.draws
    not_drawn = (1 - 1 / len(shares)) ** (2 * len(batch.weights))
    np.testing.assert_allclose(np.exp(log_q), 1 - not_in_batch * not_drawn, rtol=1e-4)


def test_the_same_numbers_give_the_same_candidates() -> None:
    (_, first, _, _), (_, second, _, _) = widened(negatives="popularity"), widened(negatives="popularity")
    np.testing.assert_array_equal(first.candidates, second.candidates)
    np.testing.assert_array_equal(first.candidate_rows, second.candidate_rows)
