"""Users whom training never met, read by their first events where a model itself reads no history."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.retrieval.exact import unit

Floats = npt.NDArray[np.float32]


def turned_to_items(vectors: Floats, histories: sparse.csr_matrix, items: Floats) -> Floats:
    """Users' vectors turned halfway towards the mean of the items they met; lengths stay.

    Parameters
    ----------
    vectors
        (n, width) users' directions of taste, and columns after them that stay as they are.
    histories
        (n, items) 1 where the user has met the item.
    items
        (items, d) directions of taste.
    """
    width = items.shape[1]
    own, met = vectors[:, :width], np.asarray(histories @ items, np.float32)
    length = np.linalg.norm(own, axis=1, keepdims=True)
    turned = unit(unit(own) + unit(met)) * np.where(length > 0, length, 1)
    return np.concatenate([turned, vectors[:, width:]], axis=1, dtype=np.float32)
