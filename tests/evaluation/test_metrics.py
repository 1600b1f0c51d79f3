"""Ranking metrics against hand-worked cases and against ranx."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recommender.evaluation.metrics import coverage, per_user_metrics


def test_hand_worked() -> None:
    ranked = np.array([[3, 0, 1], [2, 4, -1]], np.int32)
    relevant = sparse.csr_matrix(np.array([[1, 1, 0, 0, 0, 1], [0, 0, 1, 0, 0, 0]]))
    metrics = per_user_metrics(ranked, relevant, [2, 3])
    # user 0 wants 0, 1 and 5 and is shown 3, 0, 1: one hit at rank 2, another at rank 3
    assert metrics["recall@2"] == pytest.approx([1 / 3, 1])
    assert metrics["recall@3"] == pytest.approx([2 / 3, 1])
    assert metrics["precision@3"] == pytest.approx([2 / 3, 1 / 3])
    assert metrics["hit@2"] == pytest.approx([1, 1])
    assert metrics["mrr@3"] == pytest.approx([1 / 2, 1])
    gain2, gain3 = 1 / np.log2(3), 1 / np.log2(4)
    assert metrics["ndcg@3"] == pytest.approx([(gain2 + gain3) / (1 + gain2 + gain3), 1])
    assert metrics["ndcg@2"] == pytest.approx([gain2 / (1 + gain2), 1])
    assert metrics["map@3"] == pytest.approx([(1 / 2 + 2 / 3) / 3, 1])
    assert coverage(ranked, 3, 6) == pytest.approx(5 / 6)
    assert coverage(ranked, 1, 6) == pytest.approx(2 / 6)


def test_too_short_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="lists of 1 cannot be judged at k=2"):
        per_user_metrics(np.zeros((1, 1), np.int32), sparse.csr_matrix(np.ones((1, 1))), [2])


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
    names = {"recall": "recall", "precision": "precision", "hit": "hit_rate", "ndcg": "ndcg", "mrr": "mrr"}
    for name, theirs in names.items():
        for at in (5, 10):
            expected = ranx_evaluate(qrels, run, f"{theirs}@{at}")
            assert ours[f"{name}@{at}"].mean() == pytest.approx(expected), f"{name}@{at}"
