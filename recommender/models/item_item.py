"""What item-kNN and EASE share: an item's score is a weighed sum over the items that a user has met."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from recommender.config.training import Training
from recommender.data.dataset import Dataset
from recommender.features.definitions import Feature
from recommender.models.explaining.contributions import Contributions
from recommender.models.explaining.histories import Expanded, strongest_met
from recommender.models.history_model import HistoryModel
from recommender.retrieval.exact import TopK, top_k_of_scores

TRACE = np.float32(1e-6)
"""Of what the mean history scores, in every score: it orders the items that a user's own history says nothing about,
and is all that users without one have."""

Scores = npt.NDArray[np.float32]


class ItemItem(HistoryModel):
    """Scores of a user are their weighed history, as a row over items, times a learnt matrix of items by items."""

    factorises = False

    def __init__(self, config: Any, training: Training, side: Sequence[Feature] = ()) -> None:
        super().__init__(config, training, side)
        self._stands_for = sparse.csr_matrix((0, 0), dtype=np.float32)
        self._known_place = np.zeros(0, np.int64)
        self._queries = sparse.csr_matrix((0, 0), dtype=np.float32)
        self._trace: Scores = np.zeros((1, 0), np.float32)

    def attach(self, dataset: Dataset) -> None:
        super().attach(dataset)
        self._stands_for = self._attached().matrix
        self._known_place = self._fitted().get_indexer(pd.Index(dataset.item_ids))
        self._queries = (self._histories @ self._stands_for).tocsr()
        mean = self._queries.sum(axis=0, dtype=np.float64) / max(1, len(dataset.active_users))
        self._trace = TRACE * self._weigh(sparse.csr_matrix(mean.astype(np.float32)))

    def scores(self, users: npt.NDArray[np.int64]) -> Scores:
        catalogue = self._attached()
        return catalogue.spread(self._weigh(self._queries[users]) + self._trace)

    def contributions(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.integer]) -> Contributions:
        _ = self.dataset
        return strongest_met(self._histories, users, items, self._pulls)

    def similar_items(self, k: int, allowed: npt.NDArray[np.bool_] | None = None) -> TopK:
        catalogue, items, block = self._attached(), len(self.dataset.item_ids), self._block()
        itself = sparse.eye_array(items, format="csr", dtype=np.float32)
        parts = []
        for start in range(0, items, block):
            alike = catalogue.spread(self._alike(self._stands_for[start : start + block]) + self._trace)
            parts.append(top_k_of_scores(alike, k, seen=itself[start : start + block], allowed=allowed))
        found = TopK(np.concatenate([part.items for part in parts]), np.concatenate([part.scores for part in parts]))
        if allowed is not None:
            found.items[~allowed], found.scores[~allowed] = -1, -np.inf
        return found

    def _pulls(self, met: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> Scores:
        """(m, n) what meeting each of the first adds to the score of each of the second; both are tonight's."""
        row, column = self._known_place[met], self._known_place[items]
        if row.min() >= 0 and column.min() >= 0:  # each stands for itself
            return self._learnt(row, column)
        rows, columns = Expanded(self._stands_for, met), Expanded(self._stands_for, items)
        return rows.summed(columns.summed(self._learnt(rows.columns, columns.columns).T).T)

    @abstractmethod
    def _learnt(self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Scores:
        """(m, n) of the learnt matrix, a new array."""

    @abstractmethod
    def _weigh(self, queries: sparse.csr_matrix) -> Scores:
        """(n, items) scores of (n, items) queries, a new array."""

    @abstractmethod
    def _alike(self, items: sparse.csr_matrix) -> Scores:
        """(n, items) how like each item is to those of each of the n rows, a new array."""
