"""What lists are like: hand-worked, beside loops that follow the definitions word by word, and against scikit-learn."""

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics.pairwise import cosine_similarity

from recommender.data.dataset import SECONDS_A_DAY, Dataset, night_end
from recommender.evaluation import lists
from recommender.evaluation.lists import gini, list_metrics

DS = date(2020, 6, 30)
UNTIL = int(night_end(DS).timestamp())


def world(met: list[list[int]], items: int, features: dict[str, list[object]] | None = None) -> Dataset:
    """Users who have met these items, a day before the next; the first event of all was 50 days ago or earlier."""
    user = np.repeat(np.arange(len(met)), [len(row) for row in met])
    item = np.array([item for row in met for item in row], np.int32)
    days = np.concatenate([np.arange(50, 50 - len(row), -1) for row in met])
    return Dataset(
        DS,
        np.array([f"u{n}" for n in range(len(met))], object),
        np.array([f"i{n}" for n in range(items)], object),
        user.astype(np.int32),
        item,
        UNTIL - days * SECONDS_A_DAY,
        np.ones(len(user), np.float32),
        pd.DataFrame(index=range(len(met))),
        pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in (features or {}).items()}),
    )


FOUR = world([[0, 1], [0], [0, 2], [0, 1]], 4, {"creator": ["a", "a", "b", None], "category": ["x", "y", "y", "x"]})
"""Four users: item 0 was met by all of them, 1 by two, 2 by one, 3 by none."""


def test_hand_worked() -> None:
    ranked = np.array([[2, 3], [1, 2], [1, -1]], np.int32)
    users = np.array([0, 1, 2])
    found, together = list_metrics(ranked, users, FOUR, [1, 2])
    # shares 1, 1/2, 1/4, and one of four for what nobody met: 0, 1, 2, 2 bits
    assert found["novelty@1"] == pytest.approx([2, 1, 1])
    assert found["novelty@2"] == pytest.approx([2, 1.5, 1])
    # of the three that were met, 2 is the least, 1 in the middle, 0 the most
    assert found["popularity@2"] == pytest.approx([(1 / 6 + 0) / 2, (1 / 2 + 1 / 6) / 2, 1 / 2])
    # user 0 has met shares 1 and 1/2, user 1 only 1, user 2 shares 1 and 1/4
    assert found["popularity_bias@2"] == pytest.approx([(1 / 4) / (3 / 4), (3 / 8) / 1, (1 / 2) / (5 / 8)])
    # 2 is by b of y, 3 of x by nobody known; 1 is by a of y: half alike
    assert found["diversity@2"] == pytest.approx([1, 1 / 2, 0])
    assert found["diversity@1"] == pytest.approx([0, 0, 0])
    assert found["new_item_share@2"] == pytest.approx([1 / 2, 0, 0])
    # shown twice each: 1 and 2; once: 3 (not met, yet shown); never: 0
    assert together["gini@2"] == pytest.approx((-3 * 0 - 1 * 1 + 1 * 2 + 3 * 2) / (4 * 5))
    assert together["top_item_share@1"] == pytest.approx(2 / 3)
    assert "serendipity@2" not in found


def test_serendipity_hand_worked() -> None:
    # most met: 0, 1, 2, 3. User 1 knows 0: would be shown 1, then 2. User 0 knows 0 and 1: 2, then 3
    ranked = np.array([[3, 2], [3, 1]], np.int32)
    relevant = sparse.csr_matrix([[0, 0, 1, 1], [0, 1, 0, 1]])
    found, _ = list_metrics(ranked, np.array([0, 1]), FOUR, [1, 2], relevant)
    assert found["serendipity@1"] == pytest.approx([1, 1])
    assert found["serendipity@2"] == pytest.approx([0, 1 / 2])


def test_one_item_for_everybody_is_told() -> None:
    everybody = np.tile(np.array([[3, 2]], np.int32), (4, 1))
    found, together = list_metrics(everybody, np.arange(4), FOUR, [1, 2])
    assert together["top_item_share@1"] == together["top_item_share@2"] == 1
    assert together["gini@1"] == pytest.approx(3 / 4)  # one of four has all
    assert found["novelty@1"] == pytest.approx([2] * 4)


def test_items_are_new_for_28_days_after_anybody_met_them() -> None:
    dataset = world([[0, 1, 2], [2]], 4)
    days = np.array([50, 28, 3, 29])
    dataset = replace(dataset, ts=UNTIL - days * SECONDS_A_DAY)
    ranked = np.array([[0, 1, 2, 3]], np.int32)
    found, _ = list_metrics(ranked, np.array([0]), dataset, [1, 2, 3, 4])
    # 0: 50 days, 1: 28 days, 2: 29 days by the second user, 3: never
    assert [found[f"new_item_share@{k}"][0] for k in (1, 2, 3, 4)] == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])


def test_several_categories_are_compared_as_sets() -> None:
    features = {"category": [["x", "y"], ["y", "z"], ["x"], []]}
    dataset = world([[0, 1, 2, 3]], 4, features)
    ranked = np.array([[0, 1, -1], [0, 2, -1], [0, 3, -1], [0, 1, 2]], np.int32)
    found, _ = list_metrics(ranked, np.zeros(4, int), dataset, [3])
    one, other = 1 / 2, 1 / math.sqrt(2)
    assert found["diversity@3"] == pytest.approx([1 - one, 1 - other, 1, 1 - (one + other + 0) / 3])


def test_without_creators_and_categories_items_are_alike_that_share_users() -> None:
    dataset = world([[0, 1], [0, 1], [1, 2], [2]], 3)
    ranked = np.array([[0, 1, 2], [2, 0, -1]], np.int32)
    found, _ = list_metrics(ranked, np.array([3, 0]), dataset, [2, 3])
    columns = cosine_similarity(dataset.seen.T.toarray())
    assert found["diversity@2"] == pytest.approx([1 - columns[0, 1], 1 - columns[0, 2]])
    assert found["diversity@3"][0] == pytest.approx(1 - columns[np.triu_indices(3, 1)].mean())


def test_of_many_users_the_shared_ones_are_estimated() -> None:
    rng = np.random.default_rng(0)
    met = [rng.choice(60, 12, replace=False, p=np.arange(60, 0, -1) / 1830).tolist() for _ in range(800)]
    dataset = world(met, 60)
    ranked = np.array([rng.permutation(60)[:20] for _ in range(300)], np.int32)
    found, _ = list_metrics(ranked, np.arange(300), dataset, [20])
    columns = cosine_similarity(dataset.seen.T.toarray())
    exact = [1 - columns[np.ix_(row, row)][np.triu_indices(20, 1)].mean() for row in ranked]
    assert found["diversity@20"].mean() == pytest.approx(np.mean(exact), abs=0.02)


def slowly(ranked: np.ndarray, dataset: Dataset, wanted: np.ndarray, k: int) -> dict[str, list[float]]:
    """The definitions, user by user and item by item."""
    seen = dataset.seen.toarray() > 0
    met = seen.sum(axis=0)
    share = np.maximum(met, 1) / len(dataset.active_users)
    known = [item for item in range(len(met)) if met[item] > 0]
    features = pd.get_dummies(dataset.item_features["creator"]).to_numpy(float)
    found: dict[str, list[float]] = {}
    for user, row in enumerate(ranked):
        shown = [item for item in row[:k] if item >= 0]
        order = [item for item in sorted(range(len(met)), key=lambda item: (-met[item], item)) if not seen[user, item]]
        pairs = [(one, other) for place, one in enumerate(shown) for other in shown[:place]]
        percentile = {
            item: sum(met[other] < met[item] for other in known) + sum(met[other] == met[item] for other in known) / 2
            for item in known
        }
        values = {
            "novelty": [-math.log2(share[item]) for item in shown],
            "popularity": [percentile.get(item, 0.0) / len(known) for item in shown],
            "popularity_bias": [share[item] / share[seen[user]].mean() for item in shown],
            "diversity": [1 - float(features[one] @ features[other]) for one, other in pairs],
        }
        for name, one in values.items():
            found.setdefault(name, []).append(float(np.mean(one)) if one else 0.0)
        unexpected = [item for item in shown if wanted[user, item] and item not in order[:k]]
        found.setdefault("serendipity", []).append(len(unexpected) / k)
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9))
def test_as_the_definitions_say(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    users, items = 6, 12
    met = [rng.permutation(items)[: rng.integers(1, 8)].tolist() for _ in range(users)]
    dataset = world(met, items, {"creator": rng.choice(["a", "b", "c", None], items).tolist()})
    if dataset.item_features["creator"].notna().sum() == 0:
        return
    ranked = np.array([rng.permutation(items)[:9] for _ in range(users)], np.int32)
    ranked[dataset.seen.toarray()[np.arange(users)[:, None], ranked] > 0] = -1
    ranked = np.array([sorted(row, key=lambda item: item < 0) for row in ranked], np.int32)  # pads last
    wanted = (rng.random((users, items)) < 0.4) & (dataset.seen.toarray() == 0)
    found, _ = list_metrics(ranked, np.arange(users), dataset, [k], sparse.csr_matrix(wanted))
    for name, expected in slowly(ranked, dataset, wanted, k).items():
        assert found[f"{name}@{k}"] == pytest.approx(expected), name


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_gini_is_half_the_mean_difference_over_the_mean(counts: list[int]) -> None:
    values = np.array(counts)
    expected = np.abs(values[:, None] - values).mean() / (2 * values.mean()) if values.sum() else 0
    assert gini(values) == pytest.approx(expected, abs=1e-12)
    assert gini(values * 7) == pytest.approx(gini(values))


def test_users_in_blocks_are_described_as_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    dataset = world([[0, 1, 2, 3]] * 50, 15, {"creator": rng.choice(["a", "b", "c"], 15).tolist()})
    ranked = rng.permuted(np.tile(np.arange(-1, 14, dtype=np.int32), (50, 1)), axis=1)[:, :10]
    relevant = sparse.csr_matrix(rng.random((50, 15)) < 0.3)
    whole, whole_together = list_metrics(ranked, np.arange(50), dataset, [10, 3], relevant)
    monkeypatch.setattr(lists, "BLOCK_CELLS", 30)
    found, together = list_metrics(ranked, np.arange(50), dataset, [3, 10], relevant)
    assert together == whole_together
    for name, values in whole.items():
        np.testing.assert_array_equal(values, found[name])


def test_lists_of_nobody_and_of_nothing_have_figures() -> None:
    found, together = list_metrics(np.zeros((0, 2), np.int32), np.zeros(0, int), FOUR, [2])
    assert found["novelty@2"].shape == (0,) and together == {"gini@2": 0, "top_item_share@2": 0}
    nothing = np.full((2, 2), -1, np.int32)
    found, together = list_metrics(nothing, np.array([0, 1]), FOUR, [2], sparse.csr_matrix(np.ones((2, 4))))
    assert {float(values.sum()) for values in found.values()} == {0} == set(together.values())


def test_too_short_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="lists of 1 cannot be described at k=2"):
        list_metrics(np.zeros((1, 1), np.int32), np.zeros(1, int), FOUR, [2])
