from collections import defaultdict
from typing import Literal

import numpy as np
import pytest

from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows
from recommender.errors import TrainingError
from recommender.training.batches import Batch, BatchMaker, first_meetings, latest_histories, trained_length
from tests.models.worlds import checkerboard, rows_of

HISTORY = 5


def maker(
    dataset: Dataset, rows: TrainingRows | None = None, hide: Literal["latest", "random"] = "latest"
) -> BatchMaker:
    return BatchMaker(
        dataset,
        rows_of(dataset) if rows is None else rows,
        history_length=HISTORY,
        history_dropout=0.4,
        stretch_days=40,
        stretch_events=4,
        hide=hide,
        batch_size=60,
    )


def epoch(dataset: Dataset, seed: int = 0, hide: Literal["latest", "random"] = "latest") -> list[Batch]:
    return list(maker(dataset, hide=hide).epoch(np.random.default_rng(seed)))


def times_of_targets(dataset: Dataset, batch: Batch) -> dict[int, list[int]]:
    """Times of each example's targets, by its row in the batch."""
    times: dict[int, list[int]] = defaultdict(list)
    for row, candidate in zip(*batch.targets, strict=True):
        event = np.flatnonzero((dataset.user == batch.users[row]) & (dataset.item == batch.candidates[candidate]))
        times[int(row)].append(int(dataset.ts[event[0]]))
    return times


def test_first_meetings() -> None:
    dataset = checkerboard()
    user, item = dataset.user.copy(), dataset.item.copy()
    item[2] = item[0]  # the first user meets their first item again
    repeated = Dataset(**{**vars_of(dataset), "user": user, "item": item})
    first = first_meetings(repeated)
    assert first[2] == 0
    np.testing.assert_array_equal(np.delete(first, 2), np.delete(np.arange(len(first)), 2))


def vars_of(dataset: Dataset) -> dict[str, object]:
    return {name: getattr(dataset, name) for name in dataset.__dataclass_fields__}


def test_a_history_holds_nothing_from_the_time_of_its_targets_or_after() -> None:
    dataset = checkerboard()
    checked = 0
    for batch in epoch(dataset):
        for row, times in times_of_targets(dataset, batch).items():
            histories = batch.histories
            for item in histories.items[row][histories.present[row]]:
                met = dataset.ts[(dataset.user == batch.users[row]) & (dataset.item == item)]
                assert met.min() < min(times)
                checked += 1
    assert checked > 20


def test_item_features_are_not_from_after_any_target_of_that_item() -> None:
    dataset = checkerboard()
    for batch in epoch(dataset):
        taken = dataset.ts[batch.candidate_rows]
        for row, candidate in zip(*batch.targets, strict=True):
            event = np.flatnonzero((dataset.user == batch.users[row]) & (dataset.item == batch.candidates[candidate]))
            assert taken[candidate] <= dataset.ts[event[0]]


@pytest.mark.parametrize("hide", ["latest", "random"])
def test_targets_are_hidden_from_their_history_and_truly_the_users(hide: Literal["latest", "random"]) -> None:
    dataset = checkerboard()
    for batch in epoch(dataset, hide=hide):
        for row, candidate in zip(*batch.targets, strict=True):
            item = batch.candidates[candidate]
            assert dataset.seen[batch.users[row], item] == 1
            histories = batch.histories
            assert item not in histories.items[row][histories.present[row]]


def test_every_item_of_the_user_is_forbidden_or_a_target() -> None:
    dataset = checkerboard()
    for batch in epoch(dataset):
        pairs = set(zip(batch.forbidden[0].tolist(), batch.forbidden[1].tolist(), strict=True))
        expected = {
            (row, place)
            for row, user in enumerate(batch.users)
            for place, item in enumerate(batch.candidates)
            if dataset.seen[user, item]
        }
        assert pairs == expected
        assert set(zip(*(part.tolist() for part in batch.targets), strict=True)) <= pairs


def test_candidates_are_the_targets_items_once_with_their_own_features() -> None:
    dataset = checkerboard()
    for batch in epoch(dataset):
        assert sorted(set(batch.candidates[batch.targets[1]])) == batch.candidates.tolist()
        np.testing.assert_array_equal(dataset.item[batch.candidate_rows], batch.candidates)
        assert batch.draws == len(batch.targets[0]) == len(batch.weights)


def test_user_features_are_not_from_after_a_target() -> None:
    dataset = checkerboard()
    for batch in epoch(dataset):
        for row, candidate in zip(*batch.targets, strict=True):
            event = np.flatnonzero((dataset.user == batch.users[row]) & (dataset.item == batch.candidates[candidate]))
            assert batch.user_rows[row] <= event[0]
            assert dataset.user[batch.user_rows[row]] == batch.users[row]


def test_each_event_is_in_one_stretch_and_some_of_it_is_a_target() -> None:
    dataset = checkerboard()
    batches = epoch(dataset)
    targets = sum(len(batch.weights) for batch in batches)
    assert 0.3 * len(dataset.user) < targets < 0.9 * len(dataset.user)
    assert all(len(batch.targets[0]) <= 60 + 4 for batch in batches)


def test_same_seed_same_batches() -> None:
    dataset = checkerboard()
    for first, second in zip(epoch(dataset, 5), epoch(dataset, 5), strict=True):
        np.testing.assert_array_equal(first.users, second.users)
        np.testing.assert_array_equal(first.candidates, second.candidates)
        np.testing.assert_array_equal(first.histories.items, second.histories.items)


def test_latest_histories() -> None:
    dataset = checkerboard(users=41)
    histories = latest_histories(dataset, np.array([3, 40]), HISTORY)
    start, stop = dataset.offsets[3], dataset.offsets[4]
    np.testing.assert_array_equal(histories.items[0], dataset.item[start:stop][::-1][:HISTORY])
    expected_age = (dataset.until - dataset.ts[start:stop][::-1][:HISTORY]) / SECONDS_A_DAY
    np.testing.assert_allclose(histories.age[0], expected_age)
    assert histories.present[0].all()
    assert not histories.present[1].any()


def test_a_dropout_shortens_histories_to_what_it_leaves() -> None:
    assert {batch.histories.items.shape[1] for batch in epoch(checkerboard())} == {trained_length(HISTORY, 0.4)} == {3}
    assert trained_length(HISTORY, 0.0) == HISTORY
    assert trained_length(1, 0.9) == 1


def test_no_rows_is_an_error() -> None:
    dataset = checkerboard()
    rows = rows_of(dataset)
    none = TrainingRows(rows.event[:0], rows.user_features[:0], rows.item_features[:0])
    with pytest.raises(TrainingError, match="training row"):
        maker(dataset, none)
