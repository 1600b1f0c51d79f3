"""Lists out of an HNSW graph: what a user has met is asked for on top and dropped, and every score is computed anew.

Every user is asked for k + what that user has met, rounded up, in blocks of users with as many, so that few pay for
many and nobody's list depends on who else is asked.
Who has met very much, and whoever gets too few that way, is answered exactly.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from recommender.retrieval.exact import TopK, in_threads, top_k
from recommender.retrieval.selection import packed, positions_of, scores_of

INNER_PRODUCT, AUGMENTED_L2 = "ip", "l2"
MOST_SEEN = 500
"""Users who have met more are answered exactly: to ask a graph for as many costs more than to score every item."""
BEAMS = (50, 75, 100, 125, 150, 200, 250, 300, 400, 500, 650, 800, 1000, 1300, 1600)
"""hnswlib's `ef`, of which the narrowest that finds enough is taken."""
_USERS_AT_A_TIME = 256
_STEP = 32
_LOCALITY_BITS = 12


@dataclass(frozen=True, eq=False)
class Graph:
    """A graph ready to be asked, and the vectors behind it."""

    index: Any
    """`hnswlib.Index` whose labels are positions in the whole catalogue."""
    space: str
    vectors: npt.NDArray[np.float32]
    """(items, d) of the whole catalogue."""
    allowed: npt.NDArray[np.bool_] | None
    """(items,) False for those that the graph doesn't hold; None for none."""

    def top_k(
        self,
        user_vectors: npt.NDArray[np.float32],
        k: int,
        beam: int,
        *,
        seen: sparse.csr_matrix | None = None,
    ) -> TopK:
        """As `exact.top_k` over the items of the graph, but for what a beam that wide doesn't find."""
        best = TopK.empty(len(user_vectors), k)
        met = np.zeros(len(user_vectors), np.int64) if seen is None else np.diff(seen.indptr).astype(np.int64)
        held = int(self.index.get_current_count())
        by_graph = np.flatnonzero((met <= MOST_SEEN) & (k + met <= held))
        self.index.set_ef(beam)
        more = -(-met // _STEP) * _STEP
        order = by_graph[np.lexsort((_locality(user_vectors[by_graph]), more[by_graph]))]
        short = np.ones(len(user_vectors), np.bool_)
        blocks = [
            alike[start : start + _USERS_AT_A_TIME]
            for alike in np.split(order, np.flatnonzero(np.diff(more[order])) + 1)
            for start in range(0, len(alike), _USERS_AT_A_TIME)
        ]

        def rank(block: int) -> None:
            users = blocks[block]
            asked = min(k + int(more[users[0]]), held)
            try:
                labels, _ = self.index.knn_query(as_queries(user_vectors[users], self.space), k=asked, num_threads=1)
            except RuntimeError:  # the graph has no path to as many from some user
                return
            met_by = None if seen is None else seen[users]
            found = self._ranked(user_vectors[users], labels.astype(np.int64), k, met_by)
            best.items[users], best.scores[users] = found.items, found.scores
            short[users] = (found.items < 0).any(axis=1)

        in_threads(rank, range(len(blocks)))
        rest = np.flatnonzero(short)
        if len(rest):
            exact = top_k(
                user_vectors[rest], self.vectors, k, seen=None if seen is None else seen[rest], allowed=self.allowed
            )
            best.items[rest], best.scores[rest] = exact.items, exact.scores
        return best

    def _ranked(
        self,
        users: npt.NDArray[np.float32],
        labels: npt.NDArray[np.int64],
        k: int,
        seen: sparse.csr_matrix | None,
    ) -> TopK:
        near = torch.from_numpy(self.vectors[labels])
        scores = torch.bmm(near, torch.from_numpy(users)[:, :, None])[:, :, 0]
        if seen is not None:
            scores[torch.from_numpy(_stored(seen, labels))] = -torch.inf
        keys = packed(scores, torch.from_numpy(labels)).topk(k, dim=1).values
        ranked = scores_of(keys)
        items = positions_of(keys).masked_fill_(ranked == -torch.inf, -1)
        return TopK(items.numpy().astype(np.int32), ranked.numpy())


def narrowest_beam(
    graph: Graph,
    queries: npt.NDArray[np.float32],
    k: int,
    recall: float,
    *,
    seen: sparse.csr_matrix | None = None,
    beams: Sequence[int] = BEAMS,
) -> tuple[int, float]:
    """The narrowest of the (ascending) `beams` that finds enough of these queries' exact lists, and the share it finds.

    The widest, with the share it finds, where none finds enough.
    """
    wanted = top_k(queries, graph.vectors, k, seen=seen, allowed=graph.allowed).items
    tried = [beam for beam in beams if beam >= k] or beams[-1:]

    @cache
    def share(beam: int) -> float:
        return found_share(graph.top_k(queries, k, beam, seen=seen).items, wanted)

    beam = tried[min(bisect_left(tried, True, key=lambda beam: share(beam) >= recall), len(tried) - 1)]
    return beam, share(beam)


def found_share(found: npt.NDArray[np.int32], wanted: npt.NDArray[np.int32]) -> float:
    """Mean share of each (n, k) row of `wanted` that is in the same row of `found`; -1 is no item."""
    rows = np.arange(len(wanted))[:, None] * (1 + int(max(found.max(initial=0), wanted.max(initial=0))))
    hits = np.isin(rows + wanted, (rows + found)[found >= 0]) & (wanted >= 0)
    of = (wanted >= 0).sum(axis=1)
    return float((hits.sum(axis=1)[of > 0] / of[of > 0]).mean()) if of.any() else 1.0


def as_queries(vectors: npt.NDArray[np.float32], space: str) -> npt.NDArray[np.float32]:
    """(n, d) vectors as an index of that space is asked."""
    if space == INNER_PRODUCT:
        return vectors
    augmented: npt.NDArray[np.float32] = np.pad(vectors, ((0, 0), (0, 1))).astype(np.float32)
    return augmented


def _stored(matrix: sparse.csr_matrix, columns: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(n, m) True where the matrix has an entry in row i and column `columns[i, j]`."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    entries = np.sort(rows * matrix.shape[1] + matrix.indices)
    asked = np.arange(len(columns))[:, None] * matrix.shape[1] + columns
    place = np.searchsorted(entries, asked)
    stored: npt.NDArray[np.bool_] = np.append(entries, -1)[place] == asked
    return stored


def _locality(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """(n,) numbers that are close for close vectors: signs along the directions that spread them most."""
    if len(vectors) < 2:
        return np.zeros(len(vectors), np.int64)
    spread = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors)[1][:, ::-1][:, :_LOCALITY_BITS]
    signs = (vectors @ spread.astype(np.float32)) > 0
    return signs @ (1 << np.arange(signs.shape[1])[::-1])
