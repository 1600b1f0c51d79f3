"""The rules of lists, each against a plain loop over users in NumPy, and against lists without rules.

python -m benchmarks.rules
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Measurement, seconds
from recommender.config.publish import Publish
from recommender.publishing.arrange import arrange, new_pool_size, pool_size
from recommender.publishing.exploration import new_places
from recommender.publishing.traits import Traits
from recommender.retrieval.exact import TopK, top_k

USERS, ITEMS, DIMENSION, K = 2_048, 50_000, 64, 100
LOOPED_USERS = 32
"""Fewer for the loop: it takes milliseconds a user."""
CREATORS, CATEGORIES, OLDEST = 2_000, 20, 300
RULES = {
    "caps": Publish(max_per_creator=2),
    "freshness": Publish(freshness={}),
    "exploration": Publish(exploration={}),
    "caps, freshness, exploration": Publish(max_per_creator=2, freshness={}, exploration={}),
    "MMR": Publish(diversity=0.3),
    "all of them": Publish(diversity=0.3, max_per_creator=2, freshness={}, exploration={}),
}


def run() -> Iterator[Measurement]:
    vectors, traits = _world()
    people = np.random.default_rng(1).normal(size=(USERS, DIMENSION)).astype(np.float32)
    for name, config in RULES.items():
        pool = top_k(people, vectors, pool_size(config, K))
        width = new_pool_size(config, K)
        new = top_k(people, vectors, width, allowed=traits.is_new(config)) if width else None

        def ruled(config: Publish = config, pool: TopK = pool, new: TopK | None = new) -> None:
            arrange(pool, traits, config, K, new)

        def looped(config: Publish = config, pool: TopK = pool, new: TopK | None = new) -> None:
            for user in range(LOOPED_USERS):
                _one_list(pool, new, user, traits, config)

        def cut() -> None:
            top_k(people, vectors, K)

        def whole(config: Publish = config, width: int = width) -> None:
            wider = top_k(people, vectors, pool_size(config, K))
            fresh = top_k(people, vectors, width, allowed=traits.is_new(config)) if width else None
            arrange(wider, traits, config, K, fresh)

        by_rule, by_loop, without, together = seconds(ruled, looped, cut, whole)
        what = f"top-{K} by {name}"
        yield Measurement(what, USERS / by_rule, "users/s", "a loop over users in NumPy", LOOPED_USERS / by_loop)
        yield Measurement(f"{what}, searched too", USERS / together, "users/s", "exact search alone", USERS / without)


def _world() -> tuple[npt.NDArray[np.float32], Traits]:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(ITEMS, DIMENSION)).astype(np.float32)
    traits = Traits(
        ages=rng.uniform(0, OLDEST, ITEMS).astype(np.float32),
        creators=rng.integers(0, CREATORS, ITEMS).astype(np.int32),
        categories=rng.integers(0, CATEGORIES, ITEMS).astype(np.int32),
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    )
    return vectors, traits


def _one_list(pool: TopK, new: TopK | None, user: int, traits: Traits, config: Publish) -> list[int]:
    """What one would write for one user."""
    items, scores = pool.items[user], pool.scores[user]
    if new is not None:
        extra = ~np.isin(new.items[user], items)
        items = np.concatenate([items, new.items[user][extra]])
        scores = np.concatenate([scores, new.scores[user][extra]])
    if config.freshness is not None:
        fade = 2 ** (-traits.ages[items] / config.freshness.half_life_days)
        scores = scores + config.freshness.weight * pool.scores[user].std() * fade
    order = np.argsort(-scores, kind="stable")
    items, scores = items[order], scores[order]
    creators = traits.creators[items]
    relevance = (1 - config.diversity) * (scores - scores.mean()) / scores.std()
    similarity = np.full(len(items), -np.inf, np.float32)
    free = np.ones(len(items), bool)
    counts: dict[int, int] = {}
    chosen: list[int] = []
    while len(chosen) < K and free.any():
        if config.diversity > 0 and chosen:
            assert traits.vectors is not None
            similarity = np.maximum(similarity, traits.vectors[items] @ traits.vectors[items[chosen[-1]]])
            worth = relevance - config.diversity * similarity
        else:
            worth = relevance
        pick = int(np.where(free, worth, -np.inf).argmax())
        chosen.append(pick)
        free[pick] = False
        counts[creators[pick]] = counts.get(creators[pick], 0) + 1
        if counts[creators[pick]] == config.max_per_creator:
            free &= creators != creators[pick]
    if config.exploration is None:
        return [int(items[pick]) for pick in chosen]
    fresh = traits.is_new(config)[items]
    waiting = [place for place in range(len(items)) if fresh[place] and (free[place] or place in chosen)]
    found: list[int] = []
    places = new_places(config.exploration.share, K)
    while len(found) < K:
        wanted = int(places * (len(found) + 1) / K + 0.5)
        due = sum(bool(fresh[place]) for place in found) < wanted
        upcoming = [place for place in (waiting if due and waiting else chosen) if place not in found]
        found.append(upcoming[0])
        waiting = [place for place in waiting if place != upcoming[0]]
    return [int(items[place]) for place in found]


if __name__ == "__main__":
    for one in run():
        print(f"{one.name}: {one.value:,.0f} users/s, {one.peer} {one.peer_value:,.0f}: {one.ratio:.2f}")
