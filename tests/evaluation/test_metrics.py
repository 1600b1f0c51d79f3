"""Ranking metrics against hand-worked cases and against ranx."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recommender.evaluation import metrics
from recommender.evaluation.metrics import coverage, per_user_metrics


def test_hand_worked() -> None:
    ranked = np.array([[3, 0, 1], [2, 4, -1]], np.int32)
    relevant = sparse.csr_matrix(np.array([[1, 1, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0]]))
    found = per_user_metrics(ranked, relevant, [2, 3])
    # user 0 wants 0, 1 and 5 and is shown 3, 0, 1: one hit at rank 2, another at rank 3
    assert found["recall@2"] == pytest.approx([1 / 3, 1])
    assert found["recall@3"] == pytest.approx([2 / 3, 1])
    assert found["precision@3"] == pytest.approx([2 / 3, 1 / 3])
    assert found["hit@2"] == pytest.approx([1, 1])
    assert found["mrr@3"] == pytest.approx([1 / 2, 1])
    gain2, gain3 = 1 / np.log2(3), 1 / np.log2(4)
    assert found["ndcg@3"] == pytest.approx([(gain2 + gain3) / (1 + gain2 + gain3), 1])
    assert found["ndcg@2"] == pytest.approx([gain2 / (1 + gain2), 1])
    assert found["map@3"] == pytest.approx([(1 / 2 + 2 / 3) / 3, 1])
    assert coverage(ranked, 3, 6) == pytest.approx(5 / 6)
    assert coverage(ranked, 1, 6) == pytest.approx(2 / 6)


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    ranked = np.array([[3, 0, 1], [2, 4, -1]], np.int32)
    relevant = sparse.csr_matrix(np.array([[1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0]]))
    found = per_user_metrics(ranked, relevant, [3])
    assert found["f1@3"] == pytest.approx([2 / 3, 0])


def test_users_in_blocks_are_judged_as_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ranked = rng.permuted(np.tile(np.arange(-1, 14, dtype=np.int32), (50, 1)), axis=1)[:, :10]
    wanted = rng.random((50, 14)) < 0.3
    wanted[:, 0] = True
    relevant = sparse.csr_matrix(wanted)
    whole = per_user_metrics(ranked, relevant, [3, 10])
    monkeypatch.setattr(metrics, "TABLE_CELLS", 3 * 15)
    blocks = per_user_metrics(ranked, relevant, [3, 10])
    for name, values in whole.items():
        np.testing.assert_array_equal(values, blocks[name])
    expected = [[item >= 0 and wanted[user, item] for item in row] for user, row in enumerate(ranked)]
    np.testing.assert_array_equal(metrics.hits(ranked, relevant), expected)


def test_too_short_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="lists of 1 cannot be judged at k=2"):
        per_user_metrics(np.zeros((1, 1), np.int32), sparse.csr_matrix(np.ones((1, 1))), [2])


def test_map_is_worked_out_hit_by_hit() -> None:
    """Unlike in ranx, which divides by all relevant items, it can be 1 whatever the length of the list."""
    rng = np.random.default_rng(0)
    ranked = np.array([rng.permutation(15)[:10] for _ in range(30)], np.int32)
    wanted = rng.random((30, 15)) < 0.5
    wanted[:, 0] = True
    found = per_user_metrics(ranked, sparse.csr_matrix(wanted), [5])["map@5"]
    for user, row in enumerate(ranked):
        relevant = [wanted[user, item] for item in row[:5]]
        precisions = [sum(relevant[: rank + 1]) / (rank + 1) for rank in range(5) if relevant[rank]]
        assert found[user] == pytest.approx(sum(precisions) / min(5, wanted[user].sum()))


def test_coverage_is_of_what_is_shown_not_of_the_padding() -> None:
    assert coverage(np.array([[-1, 4, -1], [4, 0, 2]], np.int32), 2, 8) == pytest.approx(2 / 8)
    assert coverage(np.full((3, 2), -1, np.int32), 2, 8) == 0
    assert coverage(np.zeros((0, 2), np.int32), 2, 8) == 0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_as_ranx_computes_them(seed: int) -> None:
    from ranx import Qrels, Run
    from ranx import evaluate as ranx_evaluate

    rng = np.random.default_rng(seed)
    users, items, k = 6, 15, 10
    ranked = np.array([rng.permutation(items)[:k] for _ in range(users)], np.int32)
    wanted = rng.random((users, items)) < 0.25
    wanted[np.arange(users), rng.integers(items, size=users)] = True
    qrels = Qrels({str(u): {str(i): 1 for i in np.flatnonzero(wanted[u])} for u in range(users)})
    run = Run({str(u): {str(i): float(k - rank) for rank, i in enumerate(ranked[u])} for u in range(users)})
    ours = per_user_metrics(ranked, sparse.csr_matrix(wanted), [5, 10])
    names = {"recall": "recall", "precision": "precision", "hit": "hit_rate", "ndcg": "ndcg", "mrr": "mrr", "f1": "f1"}
    for name, theirs in names.items():
        for at in (5, 10):
            expected = ranx_evaluate(qrels, run, f"{theirs}@{at}")
            assert ours[f"{name}@{at}"].mean() == pytest.approx(expected), f"{name}@{at}"
