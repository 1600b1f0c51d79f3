"""From a pool of candidates to the lists people get: fresh items first, not too many of a creator, unlike each other,
and some new ones among them. It all happens before the cut, so that every list is full.

pool = model.recommend(users, pool_size(config, k))
new = model.recommend(users, new_pool_size(config, k), allowed=traits.is_new(config))
lists = arrange(pool, traits, config, k, new)
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from recommender.config.publish import Publish
from recommender.publishing.diversity import Codes, Similarity, capped, cosine, diverse, shared
from recommender.publishing.exploration import explored, new_places
from recommender.publishing.order import Positions, descending, gathered
from recommender.publishing.traits import Traits
from recommender.retrieval.exact import TopK

_USERS = 512
"""Users of a block: its arrays stay in the cache."""
_DIVERSE_USERS = 64
"""The same where all candidates of a user are compared with each other."""


@dataclass(frozen=True, eq=False)
class Arranged:
    """The lists of some users."""

    top: TopK
    """(users, k) items in the order they are shown, with the model's own scores: where a rule moved an item, the scores
    of a list do not fall from place to place."""
    positions: npt.NDArray[np.int32]
    """(users, k) columns of the pool, those of the second pool counted on after it; -1 where nothing was left."""


def pool_size(config: Publish, k: int) -> int:
    """Candidates that the rules need for lists of `k`."""
    chooses = config.diversity > 0 or config.max_per_creator is not None or config.freshness is not None
    return int(np.ceil(config.pool * k)) if chooses else k


def new_pool_size(config: Publish, k: int) -> int:
    """New candidates that the rules need beside them; 0: none."""
    places = 0 if config.exploration is None else new_places(config.exploration.share, k)
    return int(np.ceil(config.pool * places)) if config.max_per_creator is not None else places


def arrange(pool: TopK, traits: Traits, config: Publish, k: int, new: TopK | None = None) -> Arranged:
    """Lists of `k` by the rules of the profile; without any, the first `k` of the pool as they are.

    Parameters
    ----------
    pool
        (users, `pool_size`) the best candidates of each user, best first.
    new
        (users, `new_pool_size`) the best new ones; those that are in the pool too count once.
    """
    if new is None and config.exploration is None and pool_size(config, k) == k:
        items, scores = pool.items[:, :k], pool.scores[:, :k]
        places = np.broadcast_to(np.arange(items.shape[1], dtype=np.int32), items.shape)
        return Arranged(TopK(items, scores), np.where(items >= 0, places, np.int32(-1)))
    width = pool.items.shape[1] + (0 if new is None else new.items.shape[1])
    k = min(k, width)
    users = len(pool.items)
    found = Arranged(
        TopK(np.empty((users, k), np.int32), np.empty((users, k), np.float32)), np.empty((users, k), np.int32)
    )
    block = _DIVERSE_USERS if config.diversity > 0 else _USERS

    def work(start: int) -> None:
        rows = slice(start, start + block)
        items, scores = _joined(pool, new, rows)
        positions = _arranged(items, scores, pool.items.shape[1], traits, config, k)
        found.positions[rows] = positions
        found.top.items[rows] = gathered(items, positions, -1)
        found.top.scores[rows] = gathered(scores, positions, -np.inf)

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # NumPy lets go of the interpreter's lock
        list(threads.map(work, range(0, users, block)))
    return found


def _joined(pool: TopK, new: TopK | None, rows: slice) -> tuple[Codes, npt.NDArray[np.float32]]:
    """(users, n) items and scores of both pools; what is in both counts in the first."""
    if new is None:
        return pool.items[rows], pool.scores[rows]
    items, scores = new.items[rows].copy(), new.scores[rows]
    # what is not in the pool is no better than what is, though a model that was asked twice may use two scales
    lowest = np.where(pool.items[rows] >= 0, pool.scores[rows], np.inf).min(axis=1, keepdims=True, initial=np.inf)
    scores = np.minimum(scores, lowest)
    twice = (items[:, :, None] == pool.items[rows][:, None, :]).any(axis=2)
    items[twice], scores[twice] = -1, -np.inf
    return np.concatenate([pool.items[rows], items], axis=1), np.concatenate([pool.scores[rows], scores], axis=1)


def _arranged(
    items: Codes, scores: npt.NDArray[np.float32], pool: int, traits: Traits, config: Publish, k: int
) -> Positions:
    """(users, k) positions of candidates; the first `pool` columns tell how far scores lie apart."""
    values = scores
    if config.freshness is not None:
        fade = np.exp2(-traits.ages / config.freshness.half_life_days, dtype=np.float32)
        _, deviation = _moments(scores[:, :pool])
        values = scores + config.freshness.weight * deviation * fade[items]
    order = descending(values)
    items, values = np.take_along_axis(items, order, axis=1), np.take_along_axis(values, order, axis=1)
    valid, creators, most = items >= 0, traits.creators[items], config.max_per_creator
    if config.diversity > 0:
        similar = _similarity(items, traits)
        chosen = diverse(_standardised(values), similar, config.diversity, k, creators, most)
    else:
        chosen = capped(valid, creators, most, k)
    if config.exploration is not None and (places := new_places(config.exploration.share, k)) > 0:
        new = traits.is_new(config)[items]
        chosen = explored(chosen, new, valid, places, creators, most)
    return gathered(order, chosen, -1)


def _similarity(items: Codes, traits: Traits) -> Similarity:
    if traits.vectors is not None:
        return cosine(traits.vectors[items])
    return shared((traits.creators[items], traits.categories[items]))


def _standardised(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(users, n) in standard deviations from the mean of the user's candidates; where all are equal, 0."""
    mean, deviation = _moments(values)
    return np.asarray((values - mean) / np.where(deviation > 0, deviation, 1), np.float32)


def _moments(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(users, 1) mean and standard deviation of each user's finite values; 0 where there are none."""
    there = values > -np.inf
    count = np.maximum(there.sum(axis=1, keepdims=True), 1).astype(np.float32)
    mean = np.where(there, values, 0).sum(axis=1, keepdims=True) / count
    variance = (np.where(there, values - mean, 0) ** 2).sum(axis=1, keepdims=True) / count
    return mean, np.sqrt(variance)
