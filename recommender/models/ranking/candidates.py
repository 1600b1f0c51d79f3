"""Which pairs are ranked: what several models propose to some users, and what each thinks of all of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.data.dataset import Truth
from recommender.models.ranking.groups import Floats, Ints, best_first, padded, standardised
from recommender.models.ranking.opinions import Proposer, opinion_of
from recommender.retrieval.exact import TopK

SCORED_PAIRS = 1 << 24
"""Scores of all items by one model that are held at one time, where a model has no vectors."""
USERS = 256
"""Users that are ranked at one time: the features of their candidates stay near the processor."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs of users and items, all pairs of a user together; every array but `users` and `groups` is by pair."""

    users: Ints
    """(users,) indices."""
    groups: Ints
    """(users,) pairs of each; may be 0."""
    items: npt.NDArray[np.int32]
    """(pairs,) indices, ascending within a user."""
    scores: Mapping[str, Floats]
    """By model: (pairs,) its scores."""

    @property
    def pair_users(self) -> Ints:
        """(pairs,) user index of each pair."""
        return np.repeat(self.users, self.groups)

    @cached_property
    def standard_scores(self) -> dict[str, Floats]:
        """By model: its scores with mean 0 and standard deviation 1 over the user's candidates."""
        return {name: standardised(scores, self.groups) for name, scores in self.scores.items()}

    @cached_property
    def mean_score(self) -> Floats:
        """(pairs,) mean of the standard scores over the models."""
        mean: Floats = np.mean(list(self.standard_scores.values()), axis=0, dtype=np.float32)
        return mean

    @cached_property
    def order(self) -> npt.NDArray[np.int64]:
        """`best_first` of the mean score."""
        return best_first(self.mean_score, self.groups)

    def labels(self, truth: Truth) -> Floats:
        """(pairs,) 1 where the user went on to choose the item."""
        row_of = np.full(max(self.users.max(initial=-1), truth.users.max(initial=-1)) + 1, -1, np.int64)
        row_of[truth.users] = np.arange(len(truth.users))
        rows = row_of[self.pair_users]
        chosen = np.zeros(len(rows), np.float32)
        known = rows >= 0
        chosen[known] = np.asarray(truth.relevant[rows[known], self.items[known]]).ravel() > 0
        return chosen

    def ranked(self, scores: Floats, k: int) -> TopK:
        """The `k` best pairs of each user by (pairs,) `scores`; equal ones in the order of the items."""
        table = padded(scores, self.groups, -np.inf)
        items = padded(self.items, self.groups, -1)
        order = best_first(scores, self.groups)[:, :k]
        best = TopK(np.full((len(table), k), -1, np.int32), np.full((len(table), k), -np.inf, np.float32))
        best.items[:, : order.shape[1]] = np.take_along_axis(items, order, axis=1)
        best.scores[:, : order.shape[1]] = np.take_along_axis(table, order, axis=1)
        return best


def proposed(
    models: Mapping[str, Proposer],
    users: Ints,
    depth: int,
    seen: sparse.csr_matrix,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> Candidates:
    """The `depth` best items of each user by each model that the user has not met, with all models' scores of them.

    Parameters
    ----------
    seen
        (users, items) of these users.
    allowed
        (items,) False where an item is not to be proposed.
    """
    opinions = {name: opinion_of(model, users) for name, model in models.items()}
    best = [opinion.best(min(depth, seen.shape[1]), seen, allowed) for opinion in opinions.values()]
    items = np.sort(np.concatenate(best, axis=1), axis=1)
    new = items >= 0
    new[:, 1:] &= items[:, 1:] != items[:, :-1]
    groups, chosen = new.sum(1), items[new]
    return Candidates(
        users, groups, chosen, {name: opinion.of_pairs(groups, chosen) for name, opinion in opinions.items()}
    )


def blocks(users: Ints, items: int) -> Iterator[Ints]:
    """Users by as many as are ranked at one time."""
    block = max(1, min(USERS, SCORED_PAIRS // max(1, items)))
    for start in range(0, len(users), block):
        yield users[start : start + block]
