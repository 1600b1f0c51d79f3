"""Item-kNN: items like those a user has met, by who met both."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.config.classic import ItemKnn as ItemKnnConfig
from recommender.models.explaining.histories import Expanded
from recommender.models.item_item import ItemItem, Scores
from recommender.progress import Progress

BLOCK_PRODUCTS = 1 << 24
"""Products of pairs of events worked on at one time."""


class ItemKnn(ItemItem):
    """Scores `q S` of a weighed history `q`, where `S` holds the nearest neighbours of each item (sparse, float32).

    Items i and j that n_i and n_j users have met, n_ij of them both, are alike by the cosine with shrinkage,
    n_ij / (sqrt(n_i n_j) + shrinkage). Each row of S keeps the `neighbours` largest; of equal ones those that come
    first in the catalogue (Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms", TOIS 2004).
    """

    kind: ClassVar[str] = "item_knn"
    config: ItemKnnConfig
    config_class = ItemKnnConfig

    def _learn(self, met: sparse.csr_matrix, side: sparse.csr_matrix, progress: Progress) -> None:
        items = met.shape[1]
        by_item = met.T.tocsr()
        length = np.sqrt(np.diff(by_item.indptr)).astype(np.float32)
        # as many products as the users of an item have events between them: what a row costs at most
        products = by_item @ np.diff(met.indptr).astype(np.float64)
        parts = [sparse.csr_matrix((0, items), dtype=np.float32)]
        for start, stop in _blocks(products):
            alike = (by_item[start:stop] @ met).tocsr()
            row = start + np.repeat(np.arange(stop - start), np.diff(alike.indptr))
            alike.data /= length[row] * length[alike.indices] + np.float32(self.config.shrinkage)
            alike.data[row == alike.indices] = 0
            alike.eliminate_zeros()
            parts.append(_largest(alike, self.config.neighbours))
        self._neighbours = sparse.vstack(parts, format="csr")
        progress(f"item_knn: {self._neighbours.nnz:,} neighbours of {items:,} items")

    def _learnt(self, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64]) -> Scores:
        entries = Expanded(self._neighbours, rows)
        distinct, column = np.unique(columns, return_inverse=True)
        place = np.full(self._neighbours.shape[1], -1, np.int64)
        place[distinct] = np.arange(len(distinct))
        found = place[entries.columns]
        wanted = found >= 0
        table = np.zeros((len(rows), len(distinct)), np.float32)
        table[entries.row[wanted], found[wanted]] = entries.values[wanted]
        return table[:, column]

    def _weigh(self, queries: sparse.csr_matrix) -> Scores:
        scores: Scores = (queries @ self._neighbours).toarray()
        return scores

    def _alike(self, items: sparse.csr_matrix) -> Scores:
        return self._weigh(items)

    def _arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        kept = self._neighbours
        return {"indptr": kept.indptr, "indices": kept.indices, "data": kept.data}

    def _restore(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        items = len(arrays["indptr"]) - 1
        parts = arrays["data"], arrays["indices"], arrays["indptr"]
        self._neighbours = sparse.csr_matrix(parts, shape=(items, items))


def _blocks(products: npt.NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Consecutive rows, as many as make `BLOCK_PRODUCTS` products, at least one."""
    block = (np.cumsum(products) // BLOCK_PRODUCTS).astype(np.int64)
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    yield from zip(starts.tolist(), [*starts[1:].tolist(), len(products)], strict=True)


def _largest(matrix: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """The `k` largest values of each row; of equal ones those of the first columns."""
    kept = []
    for start, stop in pairwise(matrix.indptr.tolist()):
        value, column = matrix.data[start:stop], matrix.indices[start:stop]
        chosen = np.arange(len(value))
        if len(value) > k:
            bound = np.partition(value, len(value) - k)[len(value) - k]
            above, equal = np.flatnonzero(value > bound), np.flatnonzero(value == bound)
            chosen = np.concatenate([above, equal[np.argsort(column[equal])[: k - len(above)]]])
        kept.append(start + chosen[np.argsort(column[chosen])])
    place = np.concatenate([np.zeros(0, np.int64), *kept])
    ends = np.cumsum([0, *map(len, kept)])
    return sparse.csr_matrix((matrix.data[place], matrix.indices[place], ends), shape=matrix.shape)
