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
    weights = recency(dataset, half_life_days, floor)
    order = np.lexsort((weights, dataset.item, dataset.user))
    user, item = dataset.user[order], dataset.item[order]
    last = np.append((np.diff(user) != 0) | (np.diff(item) != 0), [True] * (len(order) > 0)).astype(bool)
    return sparse.csr_matrix((weights[order][last], (user[last], item[last])), shape=dataset.seen.shape)


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
