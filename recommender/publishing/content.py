"""Everything one publication holds, computed before a row is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recommender.models.explaining.reasons import Codes
from recommender.retrieval.exact import TopK
from recommender.retrieval.hnsw import HnswIndex

PERSONAL, SEGMENT, POPULAR = "personal", "segment", "popular"


@dataclass(frozen=True, eq=False)
class UserLists:
    """Ranked lists of users who share a source."""

    source: str
    user_ids: npt.NDArray[np.object_]
    top: TopK
    reasons: Codes | None = None
    """(users, k) code of each recommendation's reason, 0 for none; None where nobody looked."""


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors by id: what goes into a pgvector column."""

    ids: npt.NDArray[np.object_]
    """(n,)"""
    values: npt.NDArray[np.float32]
    """(n, d)"""


@dataclass(frozen=True, eq=False)
class Content:
    """What readers will see, in the item order of `item_ids` (its positions are the index's labels)."""

    item_ids: npt.NDArray[np.object_]
    titles: npt.NDArray[np.object_]
    creators: npt.NDArray[np.object_]
    lists: Sequence[UserLists]
    """No user is in two of them."""
    popular: TopK
    similar: TopK
    index: HnswIndex | None
    top_k: int
    """What a full list has."""
    reason_texts: Sequence[str] = ()
    """Sentence `n` has code `n + 1`."""
    hidden: npt.NDArray[np.bool_] | None = None
    """(items,) True where a filter keeps the item from everybody: it is in no list, not similar to anything, and can't
    be found by taste; search still finds it."""
    challenger: Sequence[UserLists] = ()
    """While an experiment runs: the challenger's lists of the users who are to get them. They are in `lists` too."""
    experiment_id: int | None = None
    item_vectors: Vectors | None = None
    """Of the items that are not hidden."""
    user_vectors: Sequence[Vectors] = ()

    @property
    def users(self) -> int:
        return sum(len(lists.user_ids) for lists in self.lists)
