"""Rules of lists against one user at a time, in plain Python."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.config.publish import Publish
from recommender.publishing.arrange import Arranged, arrange, new_pool_size, pool_size
from recommender.publishing.traits import Traits
from recommender.retrieval.exact import TopK

ITEMS = 30
SEEDS = st.integers(0, 10_000)


def traits(seed: int = 0, creators: int = 6, dimension: int | None = 3) -> Traits:
    rng = np.random.default_rng(seed)
    vectors = None if dimension is None else rng.normal(size=(ITEMS, dimension)).astype(np.float32)
    return Traits(
        ages=rng.uniform(0, 100, ITEMS).astype(np.float32),
        creators=rng.integers(-1, creators, ITEMS).astype(np.int32),
        categories=rng.integers(-1, 3, ITEMS).astype(np.int32),
        vectors=None if vectors is None else vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    )


def pool_of(scores: np.ndarray, width: int) -> TopK:
    """The best of (users, items) scores; -inf is no candidate."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :width].astype(np.int32)
    best = np.take_along_axis(scores, order, axis=1)
    return TopK(np.where(best > -np.inf, order, np.int32(-1)), best)


def pools(seed: int, of: Traits, config: Publish, k: int, users: int = 5, missing: float = 0.3) -> tuple[TopK, TopK]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(users, ITEMS)).astype(np.float32)
    scores[rng.random(scores.shape) < missing] = -np.inf
    fresh = np.where(of.is_new(config), scores, -np.inf).astype(np.float32)
    return pool_of(scores, max(k, pool_size(config, k))), pool_of(fresh, new_pool_size(config, k))


def lists(found: Arranged) -> list[list[int]]:
    return [[item for item in row if item >= 0] for row in found.top.items.tolist()]


def literal(items: list[int], scores: list[float]) -> TopK:
    return TopK(np.array([items], np.int32), np.array([scores], np.float32))


def of_creators(creators: list[int], ages: list[float] | None = None) -> Traits:
    return Traits(
        np.array([50.0] * len(creators) if ages is None else ages, np.float32),
        np.array(creators, np.int32),
        np.full(len(creators), -1, np.int32),
    )


def test_without_a_rule_lists_are_the_first_of_the_pool() -> None:
    pool = literal([3, 1, 2], [0.3, 0.2, 0.1])
    found = arrange(pool, traits(), Publish(), 2)
    assert found.top.items.tolist() == [[3, 1]]
    assert found.positions.tolist() == [[0, 1]]
    assert (pool_size(Publish(), 2), new_pool_size(Publish(), 2)) == (2, 0)


def test_a_creator_has_so_many_places_and_more_only_where_nothing_else_is_left() -> None:
    of, pool = of_creators([0, 0, 0, 1, -1, -1]), literal([0, 1, 2, 3, 4, 5], [6, 5, 4, 3, 2, 1])
    config = Publish(max_per_creator=1)
    assert lists(arrange(pool, of, config, 3)) == [[0, 3, 4]]
    assert lists(arrange(pool, of, config, 5)) == [[0, 3, 4, 5, 1]]
    assert arrange(pool, of, config, 3).top.scores.tolist() == [[6, 3, 2]]
    assert arrange(pool, of, config, 3).positions.tolist() == [[0, 3, 4]]


def test_a_young_item_gains_half_as_much_when_it_is_one_half_life_old() -> None:
    # the scores' standard deviation is 1: a gain of 0.9, 0.45 and nothing
    pool = literal([0, 1, 2, 3], [1.0, 1.0, -1.0, -1.0])
    config = Publish(freshness={"weight": 3, "half_life_days": 10})
    assert lists(arrange(pool, of_creators([-1] * 4, [1e6, 1e6, 10, 0]), config, 4)) == [[3, 0, 1, 2]]
    assert lists(arrange(pool, of_creators([-1] * 4, [1e6, 1e6, 0, 10]), config, 4)) == [[2, 0, 1, 3]]
    assert arrange(pool, of_creators([-1] * 4, [1e6, 1e6, 0, 10]), config, 4).top.scores.tolist() == [[-1, 1, 1, -1]]


def test_the_second_pool_does_not_widen_what_an_item_may_gain() -> None:
    of = of_creators([-1] * 5, [1e6, 1e6, 1e6, 10, 1e6])
    pool, new = literal([0, 1, 2, 3], [1.0, 1.0, -1.0, -1.0]), literal([4], [-9.0])
    config = Publish(freshness={"weight": 3, "half_life_days": 10}, exploration={"share": 0.1})
    assert lists(arrange(pool, of, config, 4, new)) == [[0, 1, 3, 2]]


def test_places_of_new_items_are_spread_over_the_list() -> None:
    ages = [50.0] * 10 + [1.0] * 5
    pool = literal(list(range(10)), [float(10 - n) for n in range(10)])
    new = literal([12, 10], [0.2, 0.1])
    found = arrange(pool, of_creators([-1] * 15, ages), Publish(exploration={"share": 0.2}), 10, new)
    assert lists(found) == [[0, 1, 12, 2, 3, 4, 5, 10, 6, 7]]
    assert found.positions.tolist() == [[0, 1, 10, 2, 3, 4, 5, 11, 6, 7]]
    assert found.top.scores[0, 2] == pytest.approx(0.2)


def test_a_new_item_that_the_list_has_already_counts() -> None:
    ages = [1.0, *[50.0] * 9, *[1.0] * 5]
    pool = literal(list(range(10)), [float(10 - n) for n in range(10)])
    new = literal([0, 11], [10, 0.2])
    found = arrange(pool, of_creators([-1] * 15, ages), Publish(exploration={"share": 0.2}), 10, new)
    assert lists(found) == [[0, 1, 2, 3, 4, 5, 6, 11, 7, 8]]


def test_a_creator_with_all_places_gets_none_for_being_new() -> None:
    of = of_creators([0, 1, 2, 3, 0, 4], [50, 50, 50, 50, 1, 1])
    config = Publish(exploration={"share": 0.25}, max_per_creator=1)
    pool, new = literal([0, 1, 2, 3], [4, 3, 2, 1]), literal([4, 5], [0.5, 0.4])
    assert lists(arrange(pool, of, config, 4, new)) == [[0, 5, 1, 2]]


def test_unlike_items_come_first_and_the_first_of_equals() -> None:
    alike = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    of = replace(of_creators([-1] * 4), vectors=alike)
    pool = literal([0, 1, 2, 3], [1.0, 1.0, 1.0, 1.0])
    assert lists(arrange(pool, of, Publish(diversity=0.5), 4)) == [[0, 2, 1, 3]]


def test_without_vectors_items_are_alike_by_creator_and_category() -> None:
    of = replace(of_creators([0, 0, 1, -1]), categories=np.array([0, 0, 0, -1], np.int32))
    pool = literal([0, 1, 2, 3], [1.0, 1.0, 1.0, 1.0])
    assert lists(arrange(pool, of, Publish(diversity=0.5), 4)) == [[0, 3, 2, 1]]


def plain(pool: TopK, new: TopK | None, user: int, of: Traits, config: Publish, k: int) -> list[int]:
    """Freshness, caps and maximal marginal relevance for one user, as they are written down."""
    scores = {int(i): float(s) for i, s in zip(pool.items[user], pool.scores[user], strict=True) if i >= 0}
    deviation = float(np.std(list(scores.values()))) if scores else 0.0
    if new is not None:
        extra = zip(new.items[user].tolist(), new.scores[user].tolist(), strict=True)
        scores = {**{item: score for item, score in extra if item >= 0}, **scores}
    if config.freshness is not None:
        fades = {item: 2 ** (-float(of.ages[item]) / config.freshness.half_life_days) for item in scores}
        scores = {item: score + config.freshness.weight * deviation * fades[item] for item, score in scores.items()}
    values = np.array(list(scores.values()))
    mean, spread = (values.mean(), values.std() or 1.0) if len(values) else (0.0, 1.0)
    chosen: list[int] = []
    left = sorted(scores, key=lambda item: -scores[item])

    def within(item: int) -> bool:
        made = of.creators[item]
        return (
            config.max_per_creator is None
            or made < 0
            or (sum(of.creators[other] == made for other in chosen) < config.max_per_creator)
        )

    def similarity(one: int, other: int) -> float:
        if of.vectors is not None:
            return float(of.vectors[one] @ of.vectors[other])
        return sum(codes[one] == codes[other] >= 0 for codes in (of.creators, of.categories)) / 2

    def worth(item: int) -> float:
        relevance = (1 - config.diversity) * (scores[item] - mean) / spread
        return relevance - config.diversity * max((similarity(item, other) for other in chosen), default=0.0)

    while len(chosen) < k and (open_to := [item for item in left if within(item)]):
        best = max(open_to, key=worth)
        chosen.append(best)
        left.remove(best)
    return chosen + left[: k - len(chosen)]


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 12), st.sampled_from([0.0, 0.3, 0.8]), st.sampled_from([None, 1, 2]), st.booleans())
def test_as_one_user_at_a_time(seed: int, k: int, diversity: float, most: int | None, freshness: bool) -> None:
    of = traits(seed, dimension=3 if seed % 3 else None)
    config = Publish(diversity=diversity, max_per_creator=most, freshness={} if freshness else None, pool=2)
    pool, _ = pools(seed, of, config, k)
    assert lists(arrange(pool, of, config, k)) == [plain(pool, None, user, of, config, k) for user in range(5)]


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(1, 14), st.sampled_from([0.1, 0.25, 0.5]), st.sampled_from([0.0, 0.4]), st.booleans())
def test_new_items_are_promoted_and_nothing_else_changes(
    seed: int, k: int, share: float, diversity: float, freshness: bool
) -> None:
    of = traits(seed)
    exploration = {"share": share, "new_days": 20}
    config = Publish(exploration=exploration, diversity=diversity, freshness={} if freshness else None)
    pool, new = pools(seed, of, config, k)
    found = arrange(pool, of, config, k, new)
    is_new, places = of.is_new(config), int(share * k + 0.5)
    joined = np.concatenate([pool.items, new.items], axis=1)
    for user, items in enumerate(lists(found)):
        candidates = {item for item in joined[user].tolist() if item >= 0}
        assert len(items) == len(set(items)) == min(k, len(candidates))
        there = sum(bool(is_new[item]) for item in candidates)
        for r in range(1, len(items) + 1):
            wanted = min(int(places * r / k + 0.5), there) if len(candidates) >= k else 0
            assert sum(is_new[items[:r]]) >= wanted
        others = [item for item in items if not is_new[item]]
        ranked = [item for item in plain(pool, new, user, of, config, k) if not is_new[item]]
        assert others == ranked[: len(others)]


@settings(max_examples=150, deadline=None)
@given(
    SEEDS,
    st.integers(1, 14),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([None, 1, 3]),
    st.booleans(),
    st.sampled_from([None, 0.1, 0.5]),
    st.sampled_from([0.0, 0.5, 0.95]),
)
def test_lists_are_full_without_twins_and_keep_to_the_limit(
    seed: int, k: int, diversity: float, most: int | None, freshness: bool, share: float | None, missing: float
) -> None:
    of = traits(seed)
    config = Publish(
        diversity=diversity,
        max_per_creator=most,
        freshness={} if freshness else None,
        exploration=None if share is None else {"share": share},
    )
    pool, new = pools(seed, of, config, k, missing=missing)
    found = arrange(pool, of, config, k, new if share is not None else None)
    joined = np.concatenate([pool.items, new.items], axis=1)
    scores = np.concatenate([pool.scores, new.scores], axis=1)
    for user, items in enumerate(lists(found)):
        candidates = {item for item in joined[user].tolist() if item >= 0}
        assert len(items) == len(set(items)) == min(k, len(candidates))
        assert found.top.items[user, len(items) :].tolist() == [-1] * (k - len(items))
        assert found.positions[user, len(items) :].tolist() == [-1] * (k - len(items))
        assert np.isneginf(found.top.scores[user, len(items) :]).all()
        at = found.positions[user, : len(items)]
        assert joined[user, at].tolist() == items
        assert scores[user, at].tolist() == found.top.scores[user, : len(items)].tolist()
        if most is not None:
            over = exceeding(items, of, most)
            allowed = {item for item in candidates if of.creators[item] < 0}
            by_creator = [[i for i in candidates if of.creators[i] == c] for c in set(of.creators) - {-1}]
            room = len(allowed) + sum(min(most, len(made)) for made in by_creator)
            assert len(over) == max(0, len(items) - room)


def exceeding(items: list[int], of: Traits, most: int) -> list[int]:
    counts: dict[int, int] = {}
    over = []
    for item in items:
        made = int(of.creators[item])
        counts[made] = counts.get(made, 0) + 1
        if made >= 0 and counts[made] > most:
            over.append(item)
    return over


def test_blocks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    of = traits(3)
    config = Publish(diversity=0.3, max_per_creator=2, freshness={}, exploration={})
    pool, new = pools(4, of, config, 10, users=70)
    whole = arrange(pool, of, config, 10, new)
    monkeypatch.setattr("recommender.publishing.arrange._DIVERSE_USERS", 7)
    assert np.array_equal(arrange(pool, of, config, 10, new).positions, whole.positions)


def test_nobody_gets_no_list() -> None:
    empty = TopK(np.zeros((0, 6), np.int32), np.zeros((0, 6), np.float32))
    assert arrange(empty, traits(), Publish(diversity=0.3), 3).top.items.shape == (0, 3)
