"""The live publication's HNSW index out of PostgreSQL: verified, then ready to be asked."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from recommender.errors import ArtifactError, NotReadyError
from recommender.retrieval.hnsw import DEFAULT_BEAM, HnswIndex, as_queries, open_index


@dataclass(frozen=True, eq=False)
class ItemIndex:
    """Nearest items by dot product."""

    index: Any
    space: str
    item_ids: npt.NDArray[np.object_]
    """(items,) id of each label."""

    def search(
        self, vectors: npt.NDArray[np.float32], k: int = 10
    ) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
        """(n, k) item ids, best first, and their labels, for (n, d) query vectors such as user or item vectors."""
        labels, _ = self.index.knn_query(as_queries(vectors, self.space), k=min(k, len(self.item_ids)))
        labels = labels.astype(np.int64)
        return self.item_ids[labels], labels


def load_index(connection: psycopg.Connection, name: str = "items", beam: int = DEFAULT_BEAM) -> ItemIndex:
    """Read the live publication's index; `beam` is hnswlib's `ef`: wider finds more and is slower.

    Raises
    ------
    NotReadyError
        Nothing is live, or the live model has no vectors worth an index.
    ArtifactError
        The bytes are not those that were saved.
    """
    rows = connection.execute(
        """select i.data, i.checksum, i.space, i.dimension, i.elements, i.recall, i.publication_id
           from reco.indexes i join reco.publications p using (publication_id)
           where p.status = 'live' and i.name = %s order by i.chunk""",
        [name],
    ).fetchall()
    if not rows:
        raise NotReadyError(f"the live publication has no index named {name!r}")
    data = b"".join(row[0] for row in rows)
    _, checksum, space, dimension, elements, recall, publication_id = rows[0]
    if hashlib.sha256(data).hexdigest() != checksum:
        raise ArtifactError(f"index {name!r} of publication {publication_id} is corrupt: publish the night again")
    ids = connection.execute(
        "select item_id from reco.catalogue where publication_id = %s order by label", [publication_id]
    ).fetchall()
    stored = HnswIndex(data, space, dimension, elements, recall)
    return ItemIndex(open_index(stored, beam), space, np.array([row[0] for row in ids], object))
