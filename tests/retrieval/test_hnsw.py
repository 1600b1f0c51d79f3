"""HNSW indexes against exact search."""

import numpy as np
import pytest
from scipy import sparse

from recommender.retrieval import graph as graphs
from recommender.retrieval.exact import top_k
from recommender.retrieval.graph import found_share
from recommender.retrieval.hnsw import as_queries, build_index, built, graph_of, open_index, tuned_graph

K = 20


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    """Items of very different norms; some users have met more than half of them, some nothing."""
    rng = np.random.default_rng(1)
    v = (rng.normal(size=(1000, 16)) * rng.lognormal(0, 0.7, (1000, 1))).astype(np.float32)
    u = rng.normal(size=(150, 16)).astype(np.float32)
    share = rng.choice([0.0, 0.01, 0.1, 0.6], 150)
    return u, v, sparse.csr_matrix(rng.random((150, 1000)) < share[:, None])


def test_finds_the_largest_dot_products_when_norms_vary(world) -> None:
    u, v, _ = world
    stored = build_index(v, u, k=10, recall=0.97)
    labels, _ = open_index(stored).knn_query(as_queries(u, stored.space), k=10)
    assert found_share(labels.astype(np.int32), top_k(u, v, 10).items) > 0.96
    assert stored.recall >= 0.97
    assert stored.elements == 1000
    assert build_index(v, u, k=10, recall=0.97) == stored


def test_vectors_of_one_length_are_indexed_as_they_are() -> None:
    v = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    assert build_index(v, v[:50]).space == "ip"


@pytest.mark.parametrize(("space", "least"), [("ip", 0.97), ("l2", 0.9)])
def test_lists_leave_out_what_was_met_and_what_is_not_allowed(world, space: str, least: float) -> None:
    u, v, seen = world
    allowed = np.arange(1000) % 3 > 0
    found = built(v, space, allowed).top_k(u, K, 400, seen=seen)
    assert (found.items >= 0).all()
    assert allowed[found.items].all()
    assert not seen.toarray()[np.arange(150)[:, None], found.items].any()
    assert np.allclose(found.scores, np.take_along_axis(u @ v.T, found.items.astype(np.int64), axis=1), atol=1e-4)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert found_share(found.items, top_k(u, v, K, seen=seen, allowed=allowed).items) > least


def test_the_recall_that_was_measured_holds_for_everybody(world) -> None:
    u, v, seen = world
    graph, beam, share = tuned_graph(v, u, K, 0.98, seen=seen)
    wanted = top_k(u, v, K, seen=seen).items
    assert share >= 0.98
    assert found_share(graph.top_k(u, K, beam, seen=seen).items, wanted) == pytest.approx(share, abs=0.01)


def test_who_has_met_nearly_everything_is_answered_exactly(world) -> None:
    u, v, _ = world
    met = np.ones((2, 1000), bool)
    met[0, :5] = met[1, 600:700] = False
    seen = sparse.csr_matrix(met)
    found, wanted = built(v, "ip").top_k(u[:2], K, 100, seen=seen), top_k(u[:2], v, K, seen=seen)
    assert np.array_equal(found.items, wanted.items)
    assert found.items[0, 5:].tolist() == [-1] * 15


@pytest.mark.parametrize("users_at_a_time", [1, 7, 1000])
def test_nobodys_list_depends_on_who_else_is_asked(world, monkeypatch, users_at_a_time: int) -> None:
    u, v, seen = world
    graph = built(v, "ip")
    expected = graph.top_k(u, K, 100, seen=seen)
    monkeypatch.setattr(graphs, "_USERS_AT_A_TIME", users_at_a_time)
    assert np.array_equal(graph.top_k(u, K, 100, seen=seen).items, expected.items)
    assert np.array_equal(graph.top_k(u[50:90], K, 100, seen=seen[50:90]).items, expected.items[50:90])


def test_a_stored_index_answers_as_the_one_that_was_built(world) -> None:
    u, v, seen = world
    allowed = np.arange(1000) < 800
    stored = build_index(v, u, k=K, allowed=allowed)
    again = graph_of(stored, v, allowed).top_k(u, K, stored.beam, seen=seen)
    fresh = built(v, stored.space, allowed).top_k(u, K, stored.beam, seen=seen)
    assert stored.elements == 800
    assert np.array_equal(again.items, fresh.items)


@pytest.mark.parametrize("items", [0, 1, 5])
def test_few_items(items: int) -> None:
    v = np.eye(8, dtype=np.float32)[:items]
    stored = build_index(v, v)
    found = graph_of(stored, v).top_k(np.eye(8, dtype=np.float32), 3, stored.beam)
    assert stored.recall == 1
    assert found.items[:items, :1].tolist() == [[item] for item in range(items)]


def test_shares_are_of_what_there_is_to_find() -> None:
    found = np.array([[1, 2, -1], [0, 1, 2], [-1, -1, -1]], np.int32)
    wanted = np.array([[2, 1, 0], [2, 7, -1], [-1, -1, -1]], np.int32)
    assert found_share(found, wanted) == pytest.approx((2 / 3 + 1 / 2) / 2)
