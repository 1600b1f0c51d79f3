"""What one model thinks of a block of users: its best items for each, and its scores of chosen pairs.

Of a model with vectors never more than a cache's worth of scores is made; of another the table of the block's users.
"""

import warnings
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from recommender.models.ranking.groups import Floats, Ints
from recommender.retrieval.exact import top_k, top_k_of_scores

Items = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


class Proposer(Protocol):
    """What proposes: any model with data attached."""

    @property
    def factorises(self) -> bool:
        """True where a score is the dot product of a user's and an item's vector."""

    def user_vectors(self, users: Ints | None = None) -> Floats:
        """(users, d)"""

    def item_vectors(self) -> Floats:
        """(items, d)"""

    def scores(self, users: Ints) -> Floats:
        """(users, items) scores of all items, a new array."""


class Opinion(Protocol):
    """Of one model on one block of users."""

    def best(self, k: int, seen: sparse.csr_matrix, allowed: Mask | None) -> Items:
        """(users, k) the best items but the stored ones of `seen`; -1 where there are no more."""

    def of_pairs(self, groups: Ints, items: Items) -> Floats:
        """(pairs,) scores of the users' items, the first `groups[0]` of which are the first user's, and so on."""


def opinion_of(model: Proposer, users: Ints) -> Opinion:
    """What the model thinks of these users."""
    if model.factorises:
        return DotOpinion(model.user_vectors(users), model.item_vectors())
    return TableOpinion(model.scores(users))


class DotOpinion:
    """Of a model whose scores are dot products of (users, d) and (items, d) vectors."""

    def __init__(self, users: Floats, items: Floats) -> None:
        self._users, self._items = users, items

    def best(self, k: int, seen: sparse.csr_matrix, allowed: Mask | None) -> Items:
        return top_k(self._users, self._items, k, seen=seen, allowed=allowed).items

    def of_pairs(self, groups: Ints, items: Items) -> Floats:
        if len(items) == 0:
            return np.zeros(0, np.float32)
        ends = np.concatenate([[0], np.cumsum(groups)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that its sparse rows are in beta
            pairs = torch.sparse_csr_tensor(
                torch.from_numpy(ends),
                torch.from_numpy(items.astype(np.int64)),
                torch.zeros(len(items)),
                (len(groups), len(self._items)),
                check_invariants=False,
            )
        users, transposed = torch.from_numpy(self._users), torch.from_numpy(self._items).T
        dots: Floats = torch.sparse.sampled_addmm(pairs, users, transposed, beta=0.0).values().numpy()
        return dots


class TableOpinion:
    """Of a model that scores all items of a user at once: (users, items)."""

    def __init__(self, scores: Floats) -> None:
        self._scores = scores

    def best(self, k: int, seen: sparse.csr_matrix, allowed: Mask | None) -> Items:
        return top_k_of_scores(self._scores.copy(), k, seen=seen, allowed=allowed).items

    def of_pairs(self, groups: Ints, items: Items) -> Floats:
        scores: Floats = self._scores[np.repeat(np.arange(len(groups)), groups), items]
        return scores
