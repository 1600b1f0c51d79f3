"""Exact top-K by blocked matrix products: never the full score matrix in memory."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

SCORE_BLOCK_BYTES = 64 * 2**20
"""Scores held at one time; larger blocks fall out of cache and gain nothing."""


@dataclass(frozen=True, eq=False)
class TopK:
    """Ranked lists, best first. Where fewer than k candidates exist, the tail has item -1 and score -inf."""

    items: npt.NDArray[np.int32]
    """(users, k)"""
    scores: npt.NDArray[np.float32]
    """(users, k)"""


def top_k(
    user_vectors: npt.NDArray[np.float32],
    item_vectors: npt.NDArray[np.float32],
    k: int,
    *,
    seen: sparse.csr_matrix | None = None,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> TopK:
    """The `k` items with the largest dot product for each user.

    Parameters
    ----------
    user_vectors, item_vectors
        (users, d) and (items, d).
    seen
        (users, items); stored entries are left out of that user's list.
    allowed
        (items,) False leaves the item out of every list.
    """
    users, items = len(user_vectors), len(item_vectors)
    width = min(k, items)
    best_items = np.full((users, k), -1, np.int32)
    best_scores = np.full((users, k), -np.inf, np.float32)
    if width == 0 or users == 0:
        return TopK(best_items, best_scores)
    transposed = torch.from_numpy(np.ascontiguousarray(item_vectors.T))
    forbidden = None if allowed is None else torch.from_numpy(~allowed)
    block = max(1, SCORE_BLOCK_BYTES // (4 * items))
    for start in range(0, users, block):
        stop = min(start + block, users)
        scores = torch.from_numpy(np.ascontiguousarray(user_vectors[start:stop])) @ transposed
        if forbidden is not None:
            scores[:, forbidden] = -torch.inf
        if seen is not None:
            rows = np.repeat(np.arange(stop - start), np.diff(seen.indptr[start : stop + 1]))
            columns = seen.indices[seen.indptr[start] : seen.indptr[stop]]
            scores[torch.from_numpy(rows), torch.from_numpy(columns.astype(np.int64))] = -torch.inf
        values, indices = scores.topk(width, dim=1)
        best_items[start:stop, :width] = indices.numpy()
        best_scores[start:stop, :width] = values.numpy()
    best_items[np.isneginf(best_scores)] = -1
    return TopK(best_items, best_scores)
