"""Where a pair stands among the user's other candidates of the same creator or category."""

import numpy as np

from recommender.data.dataset import Dataset
from recommender.models.ranking.attributes import first_values
from recommender.models.ranking.candidates import Candidates
from recommender.models.ranking.groups import Floats, padded, present


class CompanionColumns:
    """Columns of the user's candidates that share an attribute of the items; 0 throughout where an item has none.

    `creator_candidates`, `_place`, `_best`: log of how many candidates of the user are by this creator; log of one
    plus the pair's rank among them by the models' mean score; the best of their mean scores.
    """

    def __init__(self, name: str, dataset: Dataset) -> None:
        self.names: tuple[str, ...] = tuple(f"{name}_{part}" for part in ("candidates", "place", "best"))
        self._code, values = first_values(dataset.item_features[name])
        self._values = max(1, values)

    def fill(self, columns: Floats, candidates: Candidates) -> None:
        """Write (columns, pairs)."""
        there, order = present(candidates.groups), candidates.order
        code = self._code[candidates.items].astype(np.int32)
        # one number holds code and rank, so that sorting puts companions together, the best of them first
        bits = order.shape[1].bit_length()
        by_rank = np.take_along_axis(padded(code, candidates.groups, self._values), order, axis=1).astype(np.int64)
        together = np.sort(by_rank << bits | np.arange(order.shape[1]), axis=1)
        pair = np.take_along_axis(order, together & ((1 << bits) - 1), axis=1)
        together >>= bits
        first = np.ones(together.shape, bool)
        first[:, 1:] = together[:, 1:] != together[:, :-1]
        start = np.flatnonzero(first)
        family = np.cumsum(first).reshape(first.shape) - 1
        table = np.empty(order.shape, np.float32)
        score = np.take_along_axis(padded(candidates.mean_score, candidates.groups, 0), pair, axis=1)
        values = (
            np.log(np.diff(start, append=first.size)).astype(np.float32)[family],
            np.log1p(np.arange(first.size, dtype=np.float32).reshape(first.shape) - start[family]),
            score.ravel()[start][family],
        )
        for column, value in zip(columns, values, strict=True):
            np.put_along_axis(table, pair, value, axis=1)
            column[:] = table[there]
        columns[:, code < 0] = 0
