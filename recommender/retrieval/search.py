"""Lists for every user, exactly or out of an HNSW graph: whichever is sooner at the recall that is wanted.

The choice rests on sizes and on the measured recall, never on a clock, so the same input is always answered alike.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.errors import ArtifactError
from recommender.retrieval.exact import TopK, device_for, top_k
from recommender.retrieval.graph import Graph
from recommender.retrieval.hnsw import HnswIndex, built, graph_of, probed, saved, tuned_graph

LEAST_ITEMS = 50_000
"""Catalogues with fewer allowed items are always answered exactly."""
GRAPH_STEP, BUILD_ITEM = 500, 170_000
"""What a beam wider by one costs a user, and what an item added to a graph costs, in scores that an exact search
computes and ranks meanwhile (64 dimensions, 2 cores; a graph is built by one of them)."""
LEAST_BEAM = 100
"""Below it no graph is expected to reach a recall worth having."""


@dataclass(frozen=True, eq=False)
class Finder:
    """How lists over one catalogue are found; everybody's in the same way."""

    item_vectors: npt.NDArray[np.float32]
    """(items, d)"""
    allowed: npt.NDArray[np.bool_] | None
    """(items,) False for what is in no list; None: everything is allowed."""
    recall: float
    """Share of the exact lists that is in these, measured on a sample of the users; 1 for exact lists."""
    beam: int | None
    """hnswlib's `ef`; None for exact lists."""
    graph: Graph | None
    """None for exact lists."""
    index: HnswIndex | None
    """The index that was built or given, with the recall and beam measured here; None where there is none."""
    summary: str
    """For the log."""
    device: str | None = None

    @property
    def method(self) -> Literal["exact", "hnsw"]:
        return "exact" if self.graph is None else "hnsw"

    def top_k(self, user_vectors: npt.NDArray[np.float32], k: int, *, seen: sparse.csr_matrix | None = None) -> TopK:
        """The `k` items with the largest dot product for each of (users, d), those that were `seen` left out."""
        if self.graph is None or self.beam is None:
            return top_k(user_vectors, self.item_vectors, k, seen=seen, allowed=self.allowed, device=self.device)
        return self.graph.top_k(user_vectors, k, self.beam, seen=seen)


@dataclass(frozen=True, eq=False)
class Found:
    """Lists, and how they were found."""

    top: TopK
    finder: Finder


def search(
    user_vectors: npt.NDArray[np.float32],
    item_vectors: npt.NDArray[np.float32],
    k: int,
    *,
    seen: sparse.csr_matrix | None = None,
    allowed: npt.NDArray[np.bool_] | None = None,
    recall: float = 0.99,
    index: HnswIndex | None = None,
    device: str | None = None,
) -> Found:
    """The `k` items with the largest dot product for each user, at the recall wanted or better; see `finder`."""
    chosen = finder(
        user_vectors,
        item_vectors,
        k,
        users=len(user_vectors),
        seen=seen,
        allowed=allowed,
        recall=recall,
        index=index,
        device=device,
    )
    return Found(chosen.top_k(user_vectors, k, seen=seen), chosen)


def finder(
    sample: npt.NDArray[np.float32],
    item_vectors: npt.NDArray[np.float32],
    k: int,
    *,
    users: int,
    seen: sparse.csr_matrix | None = None,
    allowed: npt.NDArray[np.bool_] | None = None,
    recall: float = 0.99,
    index: HnswIndex | None = None,
    device: str | None = None,
) -> Finder:
    """How lists of `k` for so many users are found soonest at the recall wanted.

    Parameters
    ----------
    sample
        (n, d) vectors of the users, or of some of them, on whom recall is measured.
    item_vectors, k, allowed, device
        As in `exact.top_k`.
    seen
        (n, items) what those of the sample have met.
    recall
        Share of the exact lists that is enough; 1 asks for exact lists.
    index
        One that was built from these item vectors and the same `allowed`, by an earlier call for other users, say: its
        build costs nothing any more.

    Raises
    ------
    ArtifactError
        The index holds another number of items.
    """
    items = len(item_vectors) if allowed is None else int(np.count_nonzero(allowed))

    if index is not None and index.elements != items:
        raise ArtifactError(f"the index holds {index.elements} items, the catalogue {items}: build it from this one")

    def exactly(why: str, index: HnswIndex | None = index) -> Finder:
        summary = f"exact lists of {k} for {users} users of {items} items: {why}"
        return Finder(item_vectors, allowed, 1.0, None, None, index, summary, device)

    if device_for(device, users * item_vectors.shape[1] * items).type == "cuda":
        device = "cuda"  # for every block, though one alone would not be worth the copies
        return exactly("a GPU needs no index")
    if recall >= 1:
        return exactly("nothing less is wanted")
    if items < LEAST_ITEMS:
        return exactly(f"fewer than {LEAST_ITEMS} items")
    if not graph_is_sooner(users, items, max(k, LEAST_BEAM), indexed=index is not None):
        return exactly("too few users for a graph to be sooner")
    if index is None:
        probe = probed(item_vectors, sample, k, recall, allowed=allowed)
        if probe.recall < recall or not graph_is_sooner(users, items, probe.beam, indexed=False):
            return exactly(f"in a sample of the items a beam of {probe.beam} finds {probe.recall:.4f} of them")
        graph = built(item_vectors, probe.space, allowed)
    else:
        graph = graph_of(index, item_vectors, allowed)
    graph, beam, share = tuned_graph(item_vectors, sample, k, recall, seen=seen, allowed=allowed, graph=graph)
    index = saved(graph, beam, share) if index is None else index.measured(beam, share)
    if share < recall or not graph_is_sooner(users, items, beam, indexed=True):
        return exactly(f"by HNSW a beam of {beam} finds {share:.4f} of them", index)
    how = f"{share:.4f} of the exact ones, measured on a sample, with a beam of {beam}"
    summary = f"lists of {k} for {users} users of {items} items by HNSW: {how}"
    return Finder(item_vectors, allowed, share, beam, graph, index, summary, device)


def graph_is_sooner(users: int, items: int, beam: int, *, indexed: bool) -> bool:
    """Whether lists out of a graph are found sooner than exact ones, going by sizes alone."""
    build = 0 if indexed else BUILD_ITEM * items
    return build + GRAPH_STEP * beam * users < items * users
