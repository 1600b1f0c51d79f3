"""Ranking metrics over many users at once.

With the relevant items R of a user, the ranked list L cut at k, and hit(r) = 1 where the item at rank r is in R:

    recall@k    = hits in L[:k] / |R|
    precision@k = hits in L[:k] / k
    hit@k       = 1 where L[:k] has a hit
    ndcg@k      = sum of hit(r) / log2(r + 1) over r <= k, divided by its largest possible value for min(k, |R|) hits
    mrr@k       = 1 / rank of the first hit in L[:k], or 0
    map@k       = mean over the hits' ranks r <= k of precision@r, divided by min(k, |R|)

Each is averaged over users. Coverage@k is the share of the catalogue that occurs in anybody's L[:k].
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse


def hits(ranked: npt.NDArray[np.int32], relevant: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    """(users, k) True where a ranked item is relevant to its user; item -1 never is."""
    users, items = relevant.shape
    width = np.int64(items)
    wanted = np.repeat(np.arange(users, dtype=np.int64), np.diff(relevant.indptr)) * width + relevant.indices
    asked = np.arange(users, dtype=np.int64)[:, None] * width + ranked
    found: npt.NDArray[np.bool_] = np.isin(asked, wanted) & (ranked >= 0)
    return found


def per_user_metrics(
    ranked: npt.NDArray[np.int32], relevant: sparse.csr_matrix, ks: Sequence[int]
) -> dict[str, npt.NDArray[np.float64]]:
    """Every metric at every k, one value a user: `{"recall@20": (users,), …}`.

    Parameters
    ----------
    ranked
        (users, at least max(ks)) item indices, best first; -1 pads short lists.
    relevant
        (users, items) stored entries are relevant; every user has at least one.
    """
    if ranked.shape[1] < max(ks):
        raise ValueError(f"lists of {ranked.shape[1]} cannot be judged at k={max(ks)}")
    hit = hits(ranked, relevant)
    size = np.diff(relevant.indptr).astype(np.float64)
    ranks = np.arange(1, ranked.shape[1] + 1)
    discount = 1 / np.log2(ranks + 1)
    ideal = np.cumsum(discount)
    found_by = np.cumsum(hit, axis=1)
    metrics = {}
    for k in ks:
        top, possible = hit[:, :k], np.minimum(size, k).astype(int)
        found = found_by[:, k - 1]
        first = np.where(found > 0, top.argmax(axis=1) + 1, np.inf)
        metrics[f"recall@{k}"] = found / size
        metrics[f"precision@{k}"] = found / k
        metrics[f"hit@{k}"] = (found > 0).astype(np.float64)
        metrics[f"ndcg@{k}"] = (top * discount[:k]).sum(axis=1) / ideal[possible - 1]
        metrics[f"mrr@{k}"] = 1 / first
        metrics[f"map@{k}"] = (top * found_by[:, :k] / ranks[:k]).sum(axis=1) / possible
    return metrics


def coverage(ranked: npt.NDArray[np.int32], k: int, items: int) -> float:
    """Share of `items` that occurs in anybody's first k."""
    shown = np.unique(ranked[:, :k])
    return float((shown >= 0).sum() / items)
