"""Exact top-K and HNSW against brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recommender.retrieval import exact
from recommender.retrieval.exact import most_similar, top_k
from recommender.retrieval.hnsw import as_queries, build_index, open_index


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 9), st.integers(1, 7))
def test_as_sorting_every_score(seed: int, users: int, items: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    u, v = rng.normal(size=(users, 4)).astype(np.float32), rng.normal(size=(items, 4)).astype(np.float32)
    seen, allowed = rng.random((users, items)) < 0.3, rng.random(items) < 0.8
    found = top_k(u, v, k, seen=sparse.csr_matrix(seen), allowed=allowed)
    scores = np.where(seen | ~allowed, -np.inf, u @ v.T)
    for row in range(users):
        best = [i for i in np.argsort(-scores[row], kind="stable") if scores[row, i] > -np.inf][:k]
        assert found.items[row].tolist() == best + [-1] * (k - len(best))
        assert np.allclose(found.scores[row, : len(best)], scores[row, best], atol=1e-5)


def test_blocks_change_nothing(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(40, 8)).astype(np.float32)
    seen = sparse.csr_matrix(rng.random((50, 40)) < 0.2)
    whole = top_k(u, v, 10, seen=seen)
    monkeypatch.setattr(exact, "SCORE_BLOCK_BYTES", 4 * 40 * 7)
    assert np.array_equal(top_k(u, v, 10, seen=seen).items, whole.items)


@pytest.mark.parametrize("items", [0, 1, 3])
def test_no_similar_items_are_an_empty_list_for_each(items: int) -> None:
    found = most_similar(np.ones((items, 2), np.float32), 0)
    assert found.items.shape == found.scores.shape == (items, 0)


def test_hnsw_finds_the_largest_dot_products_when_norms_vary() -> None:
    rng = np.random.default_rng(1)
    v = (rng.normal(size=(2000, 16)) * rng.lognormal(0, 0.7, (2000, 1))).astype(np.float32)
    u = rng.normal(size=(200, 16)).astype(np.float32)
    stored = build_index(v, u)
    labels, _ = open_index(stored).knn_query(as_queries(u, stored.space), k=10)
    exact_items = top_k(u, v, 10).items
    recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(labels.tolist(), exact_items.tolist(), strict=True)])
    assert recall > 0.95
    assert stored.recall > 0.95
    assert build_index(v, u).data == stored.data
