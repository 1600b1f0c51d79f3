"""Exact top-K by blocked matrix products: never the full score matrix in memory."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

SCORE_BLOCK_BYTES = 64 * 2**20
"""Scores held at one time; larger blocks fall out of cache and gain nothing."""
LEAST_NORM = 1e-9


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
    best = TopK(np.full((users, k), -1, np.int32), np.full((users, k), -np.inf, np.float32))
    if min(k, items) == 0 or users == 0:
        return best
    transposed = torch.from_numpy(np.ascontiguousarray(item_vectors.T))
    block = max(1, SCORE_BLOCK_BYTES // (4 * items))
    for start in range(0, users, block):
        stop = min(start + block, users)
        scores = torch.from_numpy(np.ascontiguousarray(user_vectors[start:stop])) @ transposed
        _select(scores, None if seen is None else seen[start:stop], allowed, best, start)
    return best


def top_k_of_scores(
    scores: npt.NDArray[np.float32],
    k: int,
    *,
    seen: sparse.csr_matrix | None = None,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> TopK:
    """The `k` best of (users, items) `scores`, which are overwritten; otherwise as `top_k`."""
    users, items = scores.shape
    best = TopK(np.full((users, k), -1, np.int32), np.full((users, k), -np.inf, np.float32))
    if min(k, items) > 0 and users > 0:
        _select(torch.from_numpy(scores), seen, allowed, best, 0)
    return best


def most_similar(vectors: npt.NDArray[np.float32], k: int) -> TopK:
    """The `k` items with the closest direction to each, itself left out."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), LEAST_NORM)
    nearest = top_k(unit, unit, k + 1)
    itself = nearest.items == np.arange(len(unit))[:, None]
    # an exact twin may rank before the item itself: drop the last entry where the item is not among its own
    drop = np.where(itself.any(axis=1), itself.argmax(axis=1), k)
    keep = np.arange(k + 1)[None, :] != drop[:, None]
    return TopK(nearest.items[keep].reshape(len(unit), k), nearest.scores[keep].reshape(len(unit), k))


def _select(
    scores: torch.Tensor,
    seen: sparse.csr_matrix | None,
    allowed: npt.NDArray[np.bool_] | None,
    best: TopK,
    start: int,
) -> None:
    """Write the best of a block of users into `best` from row `start` on; `scores` are overwritten."""
    users, items = scores.shape
    if allowed is not None:
        scores[:, torch.from_numpy(~allowed)] = -torch.inf
    if seen is not None:
        rows = np.repeat(np.arange(users), np.diff(seen.indptr))
        scores[torch.from_numpy(rows), torch.from_numpy(seen.indices.astype(np.int64))] = -torch.inf
    width = min(best.items.shape[1], items)
    values, indices = scores.topk(width, dim=1)
    found = indices.numpy().astype(np.int32)
    found[np.isneginf(values.numpy())] = -1
    best.items[start : start + users, :width] = found
    best.scores[start : start + users, :width] = values.numpy()
