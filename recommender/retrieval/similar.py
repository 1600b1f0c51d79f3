"""Items like an item, by the angle between their vectors, for catalogues of any size."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.retrieval.exact import TopK, unit
from recommender.retrieval.search import Found, search


def most_similar(
    vectors: npt.NDArray[np.float32],
    k: int,
    *,
    allowed: npt.NDArray[np.bool_] | None = None,
    recall: float = 0.99,
    device: str | None = None,
) -> TopK:
    """The `k` items with the closest direction to each of the (items, d), itself left out; scores are cosines.

    Past `search.LEAST_ITEMS` they may come from an HNSW graph of the directions, at the recall wanted.

    Parameters
    ----------
    allowed
        (items,) False leaves the item out: it is similar to nothing, and its own list is empty.
    recall, device
        As in `search.search`.
    """
    rows = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    found = search_similar(vectors, k, rows, allowed=allowed, recall=recall, device=device).top
    if allowed is None:
        return found
    similar = TopK.empty(len(vectors), k)
    similar.items[rows], similar.scores[rows] = found.items, found.scores
    return similar


def search_similar(
    vectors: npt.NDArray[np.float32],
    k: int,
    rows: npt.NDArray[np.int64],
    *,
    allowed: npt.NDArray[np.bool_] | None = None,
    recall: float = 0.99,
    device: str | None = None,
) -> Found:
    """The same for the items in `rows` alone, and how it was found."""
    directions = unit(vectors)
    itself = (np.ones(len(rows), np.bool_), rows, np.arange(len(rows) + 1))
    met = sparse.csr_matrix(itself, (len(rows), len(vectors)))
    return search(directions[rows], directions, k, seen=met, allowed=allowed, recall=recall, device=device)
