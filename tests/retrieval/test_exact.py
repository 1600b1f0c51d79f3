"""Exact top-K against sorting every score."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recommender.retrieval import exact
from recommender.retrieval.exact import Blocks, TopK, top_k, top_k_of_scores
from recommender.retrieval.similar import most_similar


def brute(scores: np.ndarray, k: int, out: np.ndarray) -> tuple[list[list[int]], np.ndarray]:
    """Items by score, of equal ones the first; what is `out` left out."""
    scores = np.where(out, -np.inf, scores)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    order = np.where(best == -np.inf, -1, order)
    missing = k - order.shape[1]
    return np.pad(order, ((0, 0), (0, missing)), constant_values=-1).tolist(), best


def whole(rng: np.random.Generator, rows: int, columns: int = 4) -> np.ndarray:
    """Vectors of small whole numbers: scores are exact and many are equal."""
    return rng.integers(-2, 3, (rows, columns)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    users=st.integers(0, 40),
    items=st.integers(0, 90),
    k=st.integers(0, 30),
    masked=st.sampled_from([0.0, 0.3, 0.95]),
    blocks=st.sampled_from([Blocks(128, 8192), Blocks(16, 16), Blocks(32, 48)]),
)
def test_as_sorting_every_score_ties_by_position(
    seed: int, users: int, items: int, k: int, masked: float, blocks: Blocks
) -> None:
    rng = np.random.default_rng(seed)
    u, v = whole(rng, users), whole(rng, items)
    seen, allowed = rng.random((users, items)) < masked, rng.random(items) < 0.8
    before, exact.CPU_BLOCKS = exact.CPU_BLOCKS, blocks
    try:
        found = top_k(u, v, k, seen=sparse.csr_matrix(seen), allowed=allowed)
        of_scores = top_k_of_scores(u @ v.T, k, seen=sparse.csr_matrix(seen), allowed=allowed)
    finally:
        exact.CPU_BLOCKS = before
    expected, scores = brute(u @ v.T, k, seen | ~allowed)
    assert found.items.tolist() == expected
    assert of_scores.items.tolist() == expected
    assert np.array_equal(found.scores[:, : scores.shape[1]], scores)
    assert np.array_equal(of_scores.scores, found.scores)
    assert (found.items.dtype, found.scores.dtype) == (np.int32, np.float32)


def random_world(users: int = 150, items: int = 1500) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=(users, 16)).astype(np.float32), rng.normal(size=(items, 16)).astype(np.float32)
    return u, v, sparse.csr_matrix(rng.random((users, items)) < 0.05)


def same(one: TopK, other: TopK) -> bool:
    return np.array_equal(one.items, other.items) and np.array_equal(one.scores, other.scores)


@pytest.mark.parametrize("blocks", [Blocks(16, 16), Blocks(16, 1008), Blocks(64, 256), Blocks(256, 16384)])
def test_blocks_change_no_bit(blocks: Blocks, monkeypatch: pytest.MonkeyPatch) -> None:
    u, v, seen = random_world()
    expected = top_k(u, v, 20, seen=seen)
    monkeypatch.setattr(exact, "CPU_BLOCKS", blocks)
    assert same(top_k(u, v, 20, seen=seen), expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_no_bit_and_are_left_as_they_were(threads: int) -> None:
    u, v, seen = random_world(300)
    expected, before = top_k(u, v, 20, seen=seen), torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        assert same(top_k(u, v, 20, seen=seen), expected)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_user_is_answered_alike_alone_and_in_company() -> None:
    u, v, seen = random_world()
    everybody = top_k(u, v, 20, seen=seen)
    for user in (0, 77, 149):
        alone = top_k(u[[user]], v, 20, seen=seen[[user]])
        assert same(alone, TopK(everybody.items[[user]], everybody.scores[[user]]))


@pytest.mark.parametrize("order", [1, -1])
def test_items_in_order_of_their_scores(order: int) -> None:
    """Each block brings better items than all before it, or none."""
    v = np.linspace(0, 1, 40_000, dtype=np.float32)[::order, None]
    found = top_k(np.ones((3, 1), np.float32), v, 50)
    assert found.items.tolist() == [np.argsort(-v[:, 0], kind="stable")[:50].tolist()] * 3


def test_equal_scores_keep_the_order_of_the_catalogue() -> None:
    found = top_k(np.zeros((2, 3), np.float32), np.ones((30_000, 3), np.float32), 5)
    assert found.items.tolist() == [[0, 1, 2, 3, 4]] * 2
    assert not found.scores.any()


def test_longer_lists_than_blocks() -> None:
    u, v, seen = random_world(3, 900)
    expected, _ = brute(u @ v.T, 1000, seen.toarray())
    assert top_k(u, v, 1000, seen=seen).items.tolist() == expected


def test_nothing_is_allowed() -> None:
    found = top_k(np.ones((2, 2), np.float32), np.ones((3, 2), np.float32), 2, allowed=np.zeros(3, bool))
    assert found.items.tolist() == [[-1, -1]] * 2
    assert np.isneginf(found.scores).all()


@pytest.mark.parametrize("items", [0, 1, 3])
def test_no_similar_items_are_an_empty_list_for_each(items: int) -> None:
    found = most_similar(np.ones((items, 2), np.float32), 0)
    assert found.items.shape == found.scores.shape == (items, 0)


def test_similar_items_are_the_others_by_cosine_twins_first() -> None:
    vectors = np.array([[1, 0], [2, 0], [0, 3], [3, 3], [0, 0]], np.float32)
    found = most_similar(vectors, 2)
    assert found.items.tolist() == [[1, 3], [0, 3], [3, 0], [0, 1], [0, 1]]
    assert found.scores[:3] == pytest.approx(np.array([[1, 0.5**0.5], [1, 0.5**0.5], [0.5**0.5, 0]]))


def test_hidden_items_are_similar_to_nothing() -> None:
    vectors = np.array([[1, 0], [2, 0], [0, 3], [3, 3]], np.float32)
    found = most_similar(vectors, 2, allowed=np.array([True, False, True, True]))
    assert found.items.tolist() == [[3, 2], [-1, -1], [3, 0], [0, 2]]
    assert np.isneginf(found.scores[1]).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_finds_the_same_lists() -> None:
    rng = np.random.default_rng(3)
    u, v = whole(rng, 500, 16), whole(rng, 100_000, 16)
    assert same(top_k(u, v, 30, device="cuda"), top_k(u, v, 30, device="cpu"))
