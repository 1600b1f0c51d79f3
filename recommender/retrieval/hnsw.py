"""HNSW indexes that find the largest dot products, as bytes that can be kept anywhere.

Inner product is not a metric, and no one space serves every spread of norms: hnswlib's `ip` can lose a quarter
of the list, and so can L2 over vectors made equally long by one more coordinate, sqrt(M² - |v|²) with M the
largest norm (Bachrach et al., RecSys 2014). Both are built, measured against exact search, and the better kept.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import numpy.typing as npt

from recommender.retrieval.exact import top_k

INNER_PRODUCT, AUGMENTED_L2 = "ip", "l2"
_LINKS = 16
_BUILD_BEAM = 200
_SEED = 100
_MEASURED_QUERIES = 256
_MEASURED_K = 20
DEFAULT_BEAM = 200


@dataclass(frozen=True)
class HnswIndex:
    """An index file's bytes and what is needed to read it."""

    data: bytes
    space: str
    """`ip`: query with the vectors as they are; `l2`: with a 0 appended (`as_queries`)."""
    dimension: int
    """Of the indexed vectors, the added coordinate included."""
    elements: int
    recall: float
    """Share of the exact top 20 found, over a sample of queries."""


def build_index(vectors: npt.NDArray[np.float32], queries: npt.NDArray[np.float32]) -> HnswIndex:
    """Index (items, d) vectors under labels 0..items-1, for queries such as the (n, d) given ones.

    One thread and fixed seeds: the same input gives the same bytes.
    """
    sample = queries[np.random.default_rng(_SEED).permutation(len(queries))[:_MEASURED_QUERIES]]
    k = min(_MEASURED_K, len(vectors))
    wanted = top_k(sample, vectors, k).items
    built = [_build(vectors, space, sample, wanted) for space in (INNER_PRODUCT, AUGMENTED_L2)]
    return max(built, key=lambda index: index.recall)


def open_index(stored: HnswIndex, beam: int = DEFAULT_BEAM) -> Any:
    """The `hnswlib.Index` of stored bytes; query it with `as_queries(vectors, stored.space)`."""
    index = hnswlib.Index(space=stored.space, dim=stored.dimension)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.bin"
        file.write_bytes(stored.data)
        index.load_index(str(file), max_elements=stored.elements)
    index.set_ef(max(1, min(beam, stored.elements)))
    return index


def as_queries(vectors: npt.NDArray[np.float32], space: str) -> npt.NDArray[np.float32]:
    """(n, d) vectors as an index of that space is asked."""
    if space == INNER_PRODUCT:
        return vectors
    augmented: npt.NDArray[np.float32] = np.pad(vectors, ((0, 0), (0, 1))).astype(np.float32)
    return augmented


def _build(
    vectors: npt.NDArray[np.float32], space: str, queries: npt.NDArray[np.float32], wanted: npt.NDArray[np.int32]
) -> HnswIndex:
    if space == AUGMENTED_L2:
        norms = np.linalg.norm(vectors, axis=1)
        extra = np.sqrt(np.maximum(norms.max(initial=0.0) ** 2 - norms**2, 0.0))
        vectors = np.column_stack([vectors, extra]).astype(np.float32)
    index = hnswlib.Index(space=space, dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=_BUILD_BEAM, M=_LINKS, random_seed=_SEED)
    index.add_items(vectors, np.arange(len(vectors)), num_threads=1)
    index.set_ef(max(1, min(DEFAULT_BEAM, len(vectors))))
    k = wanted.shape[1]
    found, _ = index.knn_query(as_queries(queries, space), k=k, num_threads=1)
    shared = (found[:, :, None].astype(np.int64) == wanted[:, None, :]).any(axis=2).mean()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.bin"
        index.save_index(str(file))
        return HnswIndex(file.read_bytes(), space, vectors.shape[1], len(vectors), float(shared))
