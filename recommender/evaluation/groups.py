"""Creators and categories of items, one or many each: what makes two items alike to people."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from recommender.features.encoding.vocabulary import Values

PAIR_BLOCK = 64
"""Rows compared with all others at one time: popular values are shared by most of the catalogue."""


@dataclass(frozen=True, eq=False)
class Groups:
    """The values of one column of the catalogue, by item."""

    values: Values

    @classmethod
    def of(cls, catalogue: pd.DataFrame, name: str) -> Self | None:
        """Of a column of texts or of lists of them; None where the catalogue lacks it, or nobody has a value."""
        if name not in catalogue.columns:
            return None
        column = catalogue[name].reset_index(drop=True)
        given = column[column.notna()]
        listed = len(given) > 0 and isinstance(given.iloc[0], list | tuple | np.ndarray)
        values = Values.of_lists(column) if listed else Values.of(column)
        return cls(values) if len(values.row) else None

    @cached_property
    def matrix(self) -> sparse.csr_matrix:
        """(items, values) float32, 1 where the item has the value."""
        ones = np.ones(len(self.values.row), np.float32)
        shape = (self.values.rows, len(self.values.names))
        matrix = sparse.csr_matrix((ones, (self.values.row, self.values.code)), shape=shape)
        matrix.sort_indices()
        return matrix

    def names_of(self, item: int) -> str | None:
        """The item's values as one text, in its own order; None where it has none."""
        first, last = np.searchsorted(self.values.row, [item, item + 1])
        return ", ".join(self.values.names[self.values.code[first:last]]) or None

    def met(self, ranked: npt.NDArray[np.int32], seen: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
        """(users, k) True where a ranked item has a value that an item met by its user has; item -1 never has.

        Parameters
        ----------
        ranked
            (users, k) item indices.
        seen
            (users, items) stored entries were met. The caller bounds the number of users.
        """
        known = (seen @ self.matrix).tocsr()
        known.sort_indices()
        width = known.shape[1]
        keys = np.repeat(np.arange(known.shape[0], dtype=np.int64), np.diff(known.indptr)) * width + known.indices
        place = np.flatnonzero(ranked.ravel() >= 0)
        own = self.matrix[ranked.ravel()[place]]
        entry = np.repeat(place, np.diff(own.indptr))
        asked = entry // max(1, ranked.shape[1]) * width + own.indices
        at = np.searchsorted(keys, asked)
        found = np.append(keys, -1)[at] == asked
        met = np.zeros(ranked.size, bool)
        met[entry[found]] = True
        return met.reshape(ranked.shape)


def share_a_value(first: sparse.csr_matrix, second: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    """(n,) True where row j of both (n, values) matrices have an entry in the same column."""
    return np.asarray(first.multiply(second).sum(1)).ravel() > 0


def chance_of_sharing(matrix: sparse.csr_matrix, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(n,) share of all other rows that have a column in common with each of the given ones."""
    columns = matrix.T.tocsr()
    alike = [
        np.diff((matrix[rows[start : start + PAIR_BLOCK]] @ columns).tocsr().indptr)
        for start in range(0, len(rows), PAIR_BLOCK)
    ]
    itself = np.diff(matrix.indptr)[rows] > 0
    shares: npt.NDArray[np.float64] = (np.concatenate([np.zeros(0), *alike]) - itself) / max(1, matrix.shape[0] - 1)
    return shares
