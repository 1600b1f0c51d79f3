"""What users chose in the days between two cuts: what learners learn from."""

import numpy as np
from scipy import sparse

from recommender.data.dataset import Dataset, Truth


def choices(dataset: Dataset, later: Dataset) -> Truth:
    """What the users of `dataset` chose between its end and that of `later`, as a truth is counted.

    Both have the same users and items in the same order. Users and items with events before the end of `dataset`
    count, and pairs that are new.
    """
    after = later.ts >= dataset.until
    user, item = later.user[after], later.item[after]
    warm = (np.diff(dataset.offsets)[user] > 0) & dataset.known_items[item]
    ones = np.ones(int(warm.sum()), np.float32)
    chosen = sparse.csr_matrix((ones, (user[warm], item[warm])), shape=dataset.seen.shape)
    chosen.sum_duplicates()
    chosen.data[:] = 1.0
    new = (chosen - chosen.multiply(dataset.seen)).tocsr()
    new.eliminate_zeros()
    new.sort_indices()
    active = np.flatnonzero(np.diff(new.indptr))
    return Truth(users=active, relevant=new[active])
