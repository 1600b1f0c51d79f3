"""HNSW indexes whose nearest neighbours are the largest dot products, as bytes that can be kept anywhere.

Inner product is not a metric, and hnswlib's `ip` space loses a quarter of the list when norms vary. One more
coordinate, sqrt(M² - |v|²) with M the largest norm, makes all item norms equal; then the nearest in L2 is the
largest dot product (Bachrach et al., RecSys 2014). Queries have 0 there.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
import numpy.typing as npt

_LINKS = 16
_BUILD_BEAM = 200
_SEED = 100


@dataclass(frozen=True)
class HnswIndex:
    """An index file's bytes and what is needed to read it; `dimension` counts the added coordinate."""

    data: bytes
    dimension: int
    elements: int
    space: str = "l2"


def build_index(vectors: npt.NDArray[np.float32]) -> HnswIndex:
    """Index (items, d) vectors under labels 0..items-1; one thread, so that the same vectors give the same bytes."""
    norms = np.linalg.norm(vectors, axis=1)
    extra = np.sqrt(np.maximum(norms.max(initial=0.0) ** 2 - norms**2, 0.0))
    augmented = np.column_stack([vectors, extra]).astype(np.float32)
    index = hnswlib.Index(space="l2", dim=augmented.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=_BUILD_BEAM, M=_LINKS, random_seed=_SEED)
    index.add_items(augmented, np.arange(len(vectors)), num_threads=1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.bin"
        index.save_index(str(file))
        return HnswIndex(file.read_bytes(), augmented.shape[1], len(vectors))


def open_index(stored: HnswIndex, beam: int = 200) -> Any:
    """The `hnswlib.Index` of stored bytes; query it with `augment_queries(vectors)`."""
    index = hnswlib.Index(space=stored.space, dim=stored.dimension)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.bin"
        file.write_bytes(stored.data)
        index.load_index(str(file), max_elements=stored.elements)
    index.set_ef(max(beam, 1))
    return index


def augment_queries(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(n, d) query vectors with the added coordinate, (n, d + 1)."""
    augmented: npt.NDArray[np.float32] = np.pad(vectors, ((0, 0), (0, 1))).astype(np.float32)
    return augmented
