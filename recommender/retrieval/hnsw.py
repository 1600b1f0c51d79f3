"""HNSW indexes that find the largest dot products, as bytes that can be kept anywhere.

Inner product is not a metric, and no one space serves every spread of norms: hnswlib's `ip` can lose a quarter
of the list, and so can L2 over vectors made equally long by one more coordinate, sqrt(M² - |v|²) with M the
largest norm (Bachrach et al., RecSys 2014). Both are tried on a sample of the items, and the better is built.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import numpy.typing as npt
from scipy import sparse

from recommender.retrieval.graph import AUGMENTED_L2, INNER_PRODUCT, Graph, as_queries, narrowest_beam

__all__ = [
    "AUGMENTED_L2",
    "DEFAULT_BEAM",
    "INNER_PRODUCT",
    "HnswIndex",
    "as_queries",
    "build_index",
    "built",
    "graph_of",
    "open_index",
    "probed",
    "saved",
    "tuned_graph",
]

DEFAULT_BEAM = 200
SAMPLED_QUERIES = 256
"""Users on whom recall is measured."""
_LINKS = 16
_BUILD_BEAM = 200
_SEED = 100
_SAMPLED_ITEMS = 10_000
_MEASURED_K = 20
_EQUAL_NORMS = 1e-3
"""Spread of norms, as a share of their mean, below which both spaces order alike and `ip` is the cheaper."""


@dataclass(frozen=True)
class HnswIndex:
    """An index file's bytes and what is needed to read it."""

    data: bytes
    space: str
    """`ip`: query with the vectors as they are; `l2`: with a 0 appended (`as_queries`)."""
    dimension: int
    """Of the indexed vectors, the added coordinate included."""
    elements: int
    """Items in it; their labels are positions in the whole catalogue."""
    recall: float
    """Share of the exact lists found with that beam, over a sample of queries."""
    beam: int = DEFAULT_BEAM
    """hnswlib's `ef`: the narrowest that reached the recall asked for, or the widest tried."""

    def measured(self, beam: int, recall: float) -> "HnswIndex":
        """The same bytes with another beam and its recall."""
        return replace(self, beam=beam, recall=recall)


def build_index(
    vectors: npt.NDArray[np.float32],
    queries: npt.NDArray[np.float32],
    *,
    k: int = _MEASURED_K,
    recall: float = 0.99,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> HnswIndex:
    """Index (items, d) vectors under labels 0..items-1, for queries such as the (n, d) given ones.

    One thread and fixed seeds: the same input gives the same bytes.

    Parameters
    ----------
    k, recall
        The beam is the narrowest that finds that share of the exact top `k`.
    allowed
        (items,) False leaves the item out of the index; the others keep their positions as labels.
    """
    graph, beam, share = tuned_graph(vectors, queries, k, recall, allowed=allowed)
    return saved(graph, beam, share)


def tuned_graph(
    vectors: npt.NDArray[np.float32],
    queries: npt.NDArray[np.float32],
    k: int,
    recall: float,
    *,
    seen: sparse.csr_matrix | None = None,
    allowed: npt.NDArray[np.bool_] | None = None,
    graph: Graph | None = None,
) -> tuple[Graph, int, float]:
    """A graph in the better space, the narrowest beam that reaches the recall, and the recall that it has.

    Measured on a seeded sample of the `queries`, whose lists leave `seen` (queries, items) out; a `graph` that is given
    is measured and not built.
    """
    if graph is None:
        graph = built(vectors, probed(vectors, queries, k, recall, allowed=allowed).space, allowed)
    sample, rows = _sampled(queries)
    return graph, *narrowest_beam(graph, sample, k, recall, seen=None if seen is None else seen[rows])


@dataclass(frozen=True)
class Probe:
    """What a graph of a sample of the items promises for one of all."""

    space: str
    beam: int
    """The narrowest that reached the recall, or the widest tried: all items need a wider one."""
    recall: float


def probed(
    vectors: npt.NDArray[np.float32],
    queries: npt.NDArray[np.float32],
    k: int,
    recall: float,
    *,
    allowed: npt.NDArray[np.bool_] | None = None,
) -> Probe:
    """The space whose graph of a seeded sample of the items reaches the recall with the narrower beam."""
    labels = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    picked = np.sort(np.random.default_rng(_SEED).permutation(labels)[:_SAMPLED_ITEMS])
    items = np.ascontiguousarray(vectors[picked], np.float32)
    norms = np.linalg.norm(items, axis=1)
    alike = len(items) == 0 or norms.std() <= _EQUAL_NORMS * norms.mean()
    sample, _ = _sampled(queries)
    probes = [
        Probe(space, *narrowest_beam(built(items, space), sample, min(k, len(items)), recall))
        for space in ((INNER_PRODUCT,) if alike else (INNER_PRODUCT, AUGMENTED_L2))
    ]
    return max(probes, key=lambda probe: (min(probe.recall, recall), -probe.beam, probe.recall))


def _sampled(queries: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    rows = np.sort(np.random.default_rng(_SEED).permutation(len(queries))[:SAMPLED_QUERIES])
    return np.ascontiguousarray(queries[rows], np.float32), rows


def built(vectors: npt.NDArray[np.float32], space: str, allowed: npt.NDArray[np.bool_] | None = None) -> Graph:
    """A graph of the allowed items, by one thread: several would link them in an order of their own each time."""
    labels = np.arange(len(vectors)) if allowed is None else np.flatnonzero(allowed)
    points = vectors if allowed is None else vectors[labels]
    if space == AUGMENTED_L2:
        norms = np.linalg.norm(points, axis=1)
        extra = np.sqrt(np.maximum(norms.max(initial=0.0) ** 2 - norms**2, 0.0))
        points = np.column_stack([points, extra]).astype(np.float32)
    index = hnswlib.Index(space=space, dim=points.shape[1])
    index.init_index(max_elements=max(1, len(points)), ef_construction=_BUILD_BEAM, M=_LINKS, random_seed=_SEED)
    if len(points):
        index.add_items(points, labels, num_threads=1)
    return Graph(index, space, np.ascontiguousarray(vectors, np.float32), allowed)


def saved(graph: Graph, beam: int, recall: float) -> HnswIndex:
    """A graph as bytes, with the beam it is to be asked with and the recall measured with that."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.bin"
        graph.index.save_index(str(file))
        data = file.read_bytes()
    return HnswIndex(data, graph.space, int(graph.index.dim), int(graph.index.get_current_count()), recall, beam)


def open_index(stored: HnswIndex, beam: int | None = None) -> Any:
    """The `hnswlib.Index` of stored bytes; query it with `as_queries(vectors, stored.space)`.

    `beam` is hnswlib's `ef`; None takes the stored one.
    """
    index = hnswlib.Index(space=stored.space, dim=stored.dimension)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.bin"
        file.write_bytes(stored.data)
        index.load_index(str(file), max_elements=max(1, stored.elements))
    index.set_ef(max(1, min(stored.beam if beam is None else beam, max(1, stored.elements))))
    return index


def graph_of(
    stored: HnswIndex, vectors: npt.NDArray[np.float32], allowed: npt.NDArray[np.bool_] | None = None
) -> Graph:
    """A stored index as the graph that it was, with the (items, d) vectors it was built from."""
    return Graph(open_index(stored), stored.space, np.ascontiguousarray(vectors, np.float32), allowed)
