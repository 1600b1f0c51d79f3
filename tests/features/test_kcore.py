"""The core against its definition and against peeling one user or item at a time."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.features.kcore import k_core

Pairs = list[tuple[int, int]]
pairs_drawn = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=60)
least = st.integers(1, 4)


def core(pairs: Pairs, users: int, items: int) -> list[bool]:
    table = np.array(pairs, np.int32).reshape(-1, 2)
    return k_core(table[:, 0], table[:, 1], users, items).tolist()


def peeled(pairs: Pairs, users: int, items: int, order: random.Random) -> set[tuple[int, int]]:
    """Take away one user or item with too few partners at a time, in any order."""
    left = set(pairs)
    while True:
        poor = [("user", u) for u in {u for u, _ in left} if len({i for v, i in left if v == u}) < users]
        poor += [("item", i) for i in {i for _, i in left} if len({u for u, j in left if j == i}) < items]
        if not poor:
            return left
        kind, who = order.choice(poor)
        left = {(u, i) for u, i in left if (u if kind == "user" else i) != who}


def test_leaving_one_out_leaves_the_next_with_too_few() -> None:
    square = [(0, 0), (0, 1), (1, 0), (1, 1)]
    chain = [(1, 2), (2, 2), (2, 3), (3, 3)]  # hangs on the square by user 1
    assert core(square + chain, 2, 2) == [True] * 4 + [False] * 4


def test_a_pair_counts_once_however_often_it_occurs() -> None:
    assert core([(0, 0)] * 5 + [(1, 0), (1, 1)], 2, 1) == [False] * 5 + [True, True]
    assert core([(0, 0), (0, 1), (0, 0)], 2, 1) == [True] * 3


def test_one_asks_for_nothing_and_too_much_leaves_nothing() -> None:
    assert core([(0, 0), (3, 5)], 1, 1) == [True, True]
    assert core([(0, 0), (3, 5)], 2, 1) == [False, False]
    assert core([], 3, 3) == []


@settings(max_examples=200, deadline=None)
@given(pairs_drawn, least, least, st.randoms(use_true_random=False))
def test_equal_to_peeling_one_at_a_time_in_any_order(
    pairs: Pairs, users: int, items: int, order: random.Random
) -> None:
    expected = peeled(pairs, users, items, order)
    assert core(pairs, users, items) == [pair in expected for pair in pairs]


@settings(max_examples=100, deadline=None)
@given(pairs_drawn, least, least)
def test_whoever_is_left_has_enough_and_filtering_again_changes_nothing(pairs: Pairs, users: int, items: int) -> None:
    inside = {pair for pair, kept in zip(pairs, core(pairs, users, items), strict=True) if kept}
    assert all(sum(u == user for u, _ in inside) >= users for user, _ in inside)
    assert all(sum(i == item for _, i in inside) >= items for _, item in inside)
    assert all(core(sorted(inside), users, items))


@settings(max_examples=100, deadline=None)
@given(pairs_drawn, least, least, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_numbering_change_nothing(
    pairs: Pairs, users: int, items: int, rng: random.Random
) -> None:
    order, names = list(range(len(pairs))), list(range(8))
    rng.shuffle(order)
    rng.shuffle(names)
    kept = core(pairs, users, items)
    shuffled = core([(names[pairs[n][0]], names[pairs[n][1]]) for n in order], users, items)
    assert shuffled == [kept[n] for n in order]
    # users and items are alike: swapping their roles swaps nothing else
    assert core([(item, user) for user, item in pairs], items, users) == kept
