"""What item-kNN and EASE share: an item's score is a weighed sum over the items that a user has met."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.config.training import Training
from recommender.data.dataset import Dataset
from recommender.features.definitions import Feature
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
        self._queries = sparse.csr_matrix((0, 0), dtype=np.float32)
        self._trace: Scores = np.zeros((1, 0), np.float32)

    def attach(self, dataset: Dataset) -> None:
        super().attach(dataset)
        self._queries = (self._histories @ self._attached().matrix).tocsr()
        mean = self._queries.sum(axis=0, dtype=np.float64) / max(1, len(dataset.active_users))
        self._trace = TRACE * self._weigh(sparse.csr_matrix(mean.astype(np.float32)))

    def scores(self, users: npt.NDArray[np.int64]) -> Scores:
        catalogue = self._attached()
        return catalogue.spread(self._weigh(self._queries[users]) + self._trace)

    def similar_items(self, k: int) -> TopK:
        catalogue, items, block = self._attached(), len(self.dataset.item_ids), self._block()
        stands_for = catalogue.matrix
        itself = sparse.eye_array(items, format="csr", dtype=np.float32)
        parts = []
        for start in range(0, items, block):
            alike = catalogue.spread(self._alike(stands_for[start : start + block]) + self._trace)
            parts.append(top_k_of_scores(alike, k, seen=itself[start : start + block]))
        return TopK(np.concatenate([part.items for part in parts]), np.concatenate([part.scores for part in parts]))

    @abstractmethod
    def _weigh(self, queries: sparse.csr_matrix) -> Scores:
        """(n, items) scores of (n, items) queries, a new array."""

    @abstractmethod
    def _alike(self, items: sparse.csr_matrix) -> Scores:
        """(n, items) how like each item is to those of each of the n rows, a new array."""
