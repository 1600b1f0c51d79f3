"""Which item of a user's history speaks most for another, where a score is a sum over the history."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.models.explaining.contributions import MET, Contributions, Floats, Input

HEAVIEST = 50
"""Items of a history that are looked at: those that weigh most in it."""

Pulls = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], Floats]


class Expanded:
    """Rows of a sparse matrix with all their entries side by side.

    Parameters
    ----------
    matrix
        (rows, columns)
    chosen
        (n,) rows.
    """

    def __init__(self, matrix: sparse.csr_matrix, chosen: npt.NDArray[np.int64]) -> None:
        starts = matrix.indptr[chosen]
        lengths = matrix.indptr[chosen + 1] - starts
        self._single = bool((lengths == 1).all())
        first = np.cumsum(lengths) - lengths
        place = np.arange(int(lengths.sum())) + np.repeat(starts - first, lengths)
        self.columns: npt.NDArray[np.int64] = matrix.indices[place].astype(np.int64)
        self.values: Floats = matrix.data[place]
        self.row: npt.NDArray[np.int64] = np.repeat(np.arange(len(chosen)), lengths)
        """All three (entries,); rows are counted among the chosen."""
        self._rows = len(chosen)

    def summed(self, table: Floats) -> Floats:
        """(n, m) of (entries, m): each row's entries times the table's, added up."""
        weighed = table * self.values[:, None]
        if self._single:
            return np.asarray(weighed, np.float32)
        total = np.zeros((self._rows, table.shape[1]), np.float32)
        np.add.at(total, self.row, weighed)
        return total


def strongest_met(
    histories: sparse.csr_matrix,
    users: npt.NDArray[np.int64],
    items: npt.NDArray[np.integer],
    pulls: Pulls,
    least: int = 1,
) -> Contributions:
    """The contribution of the one item of the history that adds most, exact where scores are linear in histories.

    Parameters
    ----------
    histories
        (all users, all items) weights.
    users, items
        (users,) and (users, n), -1 where there is none.
    pulls
        (m, n) what one unit of each of m items adds to the score of each of n.
    least
        Items that a history needs: 2 where one without any is scored otherwise.
    """
    values = np.zeros((*items.shape, 1), np.float32)
    met = np.full(items.shape, -1, np.int32)
    for row, user in enumerate(users.tolist()):
        there = slice(*histories.indptr[user : user + 2])
        history, weight = histories.indices[there].astype(np.int64), histories.data[there]
        if len(history) > HEAVIEST:
            heaviest = np.argpartition(-weight, HEAVIEST)[:HEAVIEST]
            history, weight = history[heaviest], weight[heaviest]
        if len(history) < least:
            continue
        added = pulls(history, np.maximum(items[row], 0).astype(np.int64)) * weight[:, None]
        best = added.argmax(0)
        values[row, :, 0] = added[best, np.arange(items.shape[1])]
        met[row] = history[best]
    absent = items < 0
    values[absent], met[absent] = 0, -1
    return Contributions((Input(MET, "user"),), values, met=met)
