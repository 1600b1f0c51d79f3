"""Ranking metrics over many users at once.

With the relevant items R of a user, the ranked list L cut at k, and hit(r) = 1 where the item at rank r is in R:

    recall@k    = hits in L[:k] / |R|
    precision@k = hits in L[:k] / k
    f1@k        = harmonic mean of these two, 0 without a hit
    hit@k       = 1 where L[:k] has a hit
    ndcg@k      = sum of hit(r) / log2(r + 1) over r <= k, divided by its largest possible value for min(k, |R|) hits
    mrr@k       = 1 / rank of the first hit in L[:k], or 0
    map@k       = mean over the hits' ranks r <= k of precision@r, divided by min(k, |R|)

Each is averaged over users. Coverage@k is the share of the catalogue that occurs in anybody's L[:k].
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

TABLE_CELLS = 1 << 24
"""Of the table of users by items in which a block's relevant items are marked: 16 MB, which caches hold."""


def hits(ranked: npt.NDArray[np.int32], relevant: sparse.csr_matrix) -> npt.NDArray[np.bool_]:
    """(users, k) True where a ranked item is relevant to its user; item -1 never is."""
    return np.concatenate([np.zeros((0, ranked.shape[1]), bool), *(hit for _, hit in _blocks(ranked, relevant))])


def _blocks(
    ranked: npt.NDArray[np.int32], relevant: sparse.csr_matrix
) -> Iterator[tuple[slice, npt.NDArray[np.bool_]]]:
    """Users by as many as the table holds, with their (users, k) hits."""
    users, items = relevant.shape
    rows = max(1, TABLE_CELLS // (items + 1))
    table = np.zeros((min(rows, users), items + 1), bool)  # the last column is where -1 looks, and never marked
    place = np.arange(len(table))
    for start in range(0, users, rows):
        block = slice(start, min(start + rows, users))
        lengths = np.diff(relevant.indptr[start : block.stop + 1])
        marked = (
            np.repeat(place[: len(lengths)], lengths),
            relevant.indices[slice(*relevant.indptr[[start, block.stop]])],
        )
        table[marked] = True
        yield block, table[place[: len(lengths), None], ranked[block]]
        table[marked] = False


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
    names = ("recall", "precision", "f1", "hit", "ndcg", "mrr", "map")
    metrics = {f"{name}@{k}": np.zeros(len(ranked)) for k in ks for name in names}
    sizes = np.diff(relevant.indptr).astype(np.float64)
    ranks = np.arange(1, max(ks) + 1)
    discount = 1 / np.log2(ranks + 1)
    ideal = np.cumsum(discount)
    for block, hit in _blocks(ranked[:, : max(ks)], relevant):
        size, found_by = sizes[block], np.cumsum(hit, axis=1, dtype=np.int32)
        gained = np.cumsum(hit * discount, axis=1)
        precise = np.cumsum(hit * (found_by / ranks), axis=1)
        first = np.where(found_by[:, -1] > 0, hit.argmax(axis=1) + 1, np.inf)
        for k in ks:
            found, possible = found_by[:, k - 1], np.minimum(size, k)
            metrics[f"recall@{k}"][block] = found / size
            metrics[f"precision@{k}"][block] = found / k
            metrics[f"f1@{k}"][block] = 2 * found / (k + size)
            metrics[f"hit@{k}"][block] = found > 0
            metrics[f"ndcg@{k}"][block] = gained[:, k - 1] / ideal[possible.astype(np.int64) - 1]
            metrics[f"mrr@{k}"][block] = np.where(first <= k, 1 / first, 0)
            metrics[f"map@{k}"][block] = precise[:, k - 1] / possible
    return metrics


def coverage(ranked: npt.NDArray[np.int32], k: int, items: int) -> float:
    """Share of `items` that occurs in anybody's first k."""
    shown = np.zeros(int(ranked.max(initial=-1)) + 2, bool)
    shown[ranked[:, :k]] = True
    return float(np.count_nonzero(shown[:-1]) / items)  # the last one is where -1 points
