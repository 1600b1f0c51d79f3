"""Who met what, and how much it counts: the sparse matrix that counting and solving models read."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.data.dataset import SECONDS_A_DAY, Dataset, TrainingRows


def recency(dataset: Dataset, half_life_days: float | None, floor: float) -> npt.NDArray[np.float32]:
    """(events,) weight of each event: its own, times `floor + (1 - floor) / 2^(age / half-life)`."""
    if half_life_days is None:
        return dataset.weight
    age_days = (dataset.until - dataset.ts) / SECONDS_A_DAY
    return (dataset.weight * (floor + (1 - floor) * np.exp2(-age_days / half_life_days))).astype(np.float32)


def histories(dataset: Dataset, half_life_days: float | None, floor: float) -> sparse.csr_matrix:
    """(users, items) weights by `recency`, float32; of several events of a pair the one that weighs most."""
    shape, weights = dataset.seen.shape, recency(dataset, half_life_days, floor)
    events = sparse.csr_matrix((weights, dataset.item, dataset.offsets), shape=shape, copy=True)
    events.sort_indices()  # several times faster than to sort events of all users together
    user = np.repeat(np.arange(shape[0], dtype=np.int32), np.diff(events.indptr))
    new = np.append(True, (np.diff(user) != 0) | (np.diff(events.indices) != 0))[: len(user)]
    first = np.flatnonzero(new)
    most = np.maximum.reduceat(events.data, first) if len(first) else events.data
    return sparse.csr_matrix(
        (most, events.indices[first], np.searchsorted(user[first], np.arange(shape[0] + 1))), shape
    )


def learnt_from(dataset: Dataset, rows: TrainingRows) -> tuple[sparse.csr_matrix, npt.NDArray[np.int64]]:
    """What to count: every known event but those that the k-core leaves out, however long ago it was.

    Returns
    -------
    (users, n) 1 where the user has met the item, float32, and the (n,) items that anybody has met.
    """
    kept = np.ones(len(dataset.user), bool)
    kept[rows.outside] = False
    met = sparse.csr_matrix(
        (np.ones(int(kept.sum()), np.float32), (dataset.user[kept], dataset.item[kept])), shape=dataset.seen.shape
    )
    met.data[:] = 1.0
    items = np.flatnonzero(met.getnnz(axis=0)).astype(np.int64)
    return met[:, items], items
