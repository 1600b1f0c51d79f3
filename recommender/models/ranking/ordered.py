"""What becomes of a block of users: candidates that learners have scored, and all other items below them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.errors import NotReadyError
from recommender.models.composite import standardised
from recommender.models.ranking.candidates import Candidates
from recommender.models.ranking.groups import Floats, Ints


@dataclass(frozen=True, eq=False)
class Ordered:
    """Candidates of a block of users, and what the learners made of them; nothing where there are no learners."""

    candidates: Candidates | None = None
    features: Floats | None = None
    """(pairs, columns)"""
    raw: Sequence[Floats] = ()
    """By learner: (pairs,) its scores."""
    scores: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    """(pairs,) what they make together."""

    def above(self, rest: Floats) -> Floats:
        """(users, items) the pairs' scores, and below them those of all items that the `rest` has, which is changed."""
        if self.candidates is None:
            return rest
        row = np.repeat(np.arange(len(rest)), self.candidates.groups)
        lowest = np.zeros(len(rest), np.float32)
        np.minimum.at(lowest, row, self.scores)
        rest -= rest.max(1, keepdims=True) + 1 - lowest[:, None]
        rest[row, self.candidates.items] = self.scores
        return rest


def offered(users: int, items: int, seen: sparse.csr_matrix | None, allowed: npt.NDArray[np.bool_] | None) -> Ints:
    """(users,) how many items there are to choose from, those left out of `seen` and `allowed` not counted."""
    some = np.ones(items, bool) if allowed is None else allowed
    met = 0 if seen is None else np.asarray(seen.astype(bool) @ some.astype(np.int64))
    return np.full(users, some.sum(), np.int64) - met


def mean_score(scores: Mapping[str, Floats]) -> Floats:
    """(users, items) mean over the models of scores with mean 0 and standard deviation 1 a user."""
    if not scores:
        raise NotReadyError("ranking isn't fitted, call `fit` or `load` first")
    return np.asarray(sum(standardised(table) for table in scores.values()) / np.float32(len(scores)), np.float32)
