import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recommender.errors import TrainingError
from recommender.training.negatives import Sampler

KINDS = ["uniform", "popularity"]


def matrix(rows: list[list[int]], items: int) -> sparse.csr_matrix:
    dense = np.zeros((len(rows), items), np.float32)
    for user, met in enumerate(rows):
        dense[user, met] = 1
    return sparse.csr_matrix(dense)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Users with any items; one has met all but one, and one all of them."""
    items = draw(st.integers(2, 30))
    rows = draw(st.lists(st.lists(st.integers(0, items - 1)), min_size=1, max_size=6))
    spared = draw(st.integers(0, items - 1))
    rows += [[item for item in range(items) if item != spared], list(range(items))]
    shares = np.array(draw(st.lists(st.sampled_from([0.0, 1.0, 50.0]), min_size=items, max_size=items)), np.float32)
    return matrix(rows, items), shares


@given(worlds(), st.sampled_from(KINDS), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_nobody_gets_what_they_have_met(world: tuple[sparse.csr_matrix, np.ndarray], kind: str, seed: int) -> None:
    seen, shares = world
    if kind == "popularity" and not shares.any():
        shares[0] = 1
    sampler = Sampler(kind, shares, seen)  # type: ignore[arg-type]
    assert not sampler.has_negatives[-1]
    users = np.repeat(np.flatnonzero(sampler.has_negatives), 5)
    drawn = sampler.for_users(np.random.default_rng(seed), users, 4)
    assert drawn.shape == (len(users), 4)
    assert not seen.toarray()[users[:, None], drawn].any()
    all_but_one = users == len(sampler.has_negatives) - 2
    assert (drawn[all_but_one] == np.flatnonzero(seen.toarray()[-2] == 0)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_who_has_met_everything_has_no_negatives(kind: str) -> None:
    sampler = Sampler(kind, np.ones(3, np.float32), matrix([[0, 1, 2], [1]], 3))  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="met every item"):
        sampler.for_users(np.random.default_rng(0), np.array([1, 0]), 4)


def test_the_unmet_are_drawn_in_proportion() -> None:
    shares = np.array([16.0, 81.0, 1.0, 0.0, 16.0], np.float32)  # to the power of 3/4: 8, 27, 1, 0, 8
    seen = matrix([[1]], 5)
    for kind, expected in (("uniform", [0.25, 0, 0.25, 0.25, 0.25]), ("popularity", [8 / 17, 0, 1 / 17, 0, 8 / 17])):
        sampler = Sampler(kind, shares, seen)  # type: ignore[arg-type]
        drawn = sampler.for_users(np.random.default_rng(1), np.zeros(20_000, np.int64), 4)
        np.testing.assert_allclose(np.bincount(drawn.ravel(), minlength=5) / drawn.size, expected, atol=0.01)


def test_who_has_met_all_that_is_popular_gets_the_rest_evenly() -> None:
    sampler = Sampler("popularity", np.array([9.0, 1.0, 0.0, 0.0], np.float32), matrix([[0, 1]], 4))
    drawn = sampler.for_users(np.random.default_rng(0), np.zeros(2000, np.int64), 4)
    np.testing.assert_allclose(np.bincount(drawn.ravel(), minlength=4) / drawn.size, [0, 0, 0.5, 0.5], atol=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_negatives(kind: str) -> None:
    sampler = Sampler(kind, np.arange(1, 51, dtype=np.float32), matrix([[3, 4], [0]], 50))  # type: ignore[arg-type]
    users = np.array([0, 1, 0])
    first, second, third = (sampler.for_users(np.random.default_rng(seed), users, 9) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


@pytest.mark.parametrize("kind", KINDS)
def test_shared_ones_come_once_as_often_as_said(kind: str) -> None:
    shares = np.array([0.5, 0.3, 0.2, 0.0], np.float32)
    sampler = Sampler(kind, shares, matrix([[0]], 4))  # type: ignore[arg-type]
    rng, found = np.random.default_rng(2), np.zeros(4)
    for _ in range(5000):
        drawn = sampler.shared(rng, 3)
        assert (np.diff(drawn) > 0).all()
        found[drawn] += 1
    log_q = sampler.log_q(3)
    assert log_q.dtype == np.float32 and np.isfinite(log_q).all()
    np.testing.assert_allclose(found / 5000, np.exp(log_q), atol=0.02)


def test_nothing_to_draw() -> None:
    with pytest.raises(TrainingError, match="no item"):
        Sampler("popularity", np.zeros(2, np.float32), matrix([[0]], 2))
