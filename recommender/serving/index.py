"""The live publication's HNSW index out of PostgreSQL: verified, then ready to be asked.

index = load_index("postgresql://reco@db/recommender")
ids, scores = index.search(vectors, k=10)    # (n, d) queries such as user or item vectors; (n, 10) and (n, 10)
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg

from recommender.errors import ArtifactError, DatabaseError, NotReadyError, RequestError, first_line
from recommender.retrieval.graph import AUGMENTED_L2
from recommender.retrieval.hnsw import HnswIndex, as_queries, open_index


@dataclass(frozen=True, eq=False)
class ItemIndex:
    """Nearest items by dot product."""

    index: Any
    """`hnswlib.Index`; its labels are `reco.catalogue.label`."""
    space: str
    item_ids: npt.NDArray[np.object_]
    """(labels,) id of each label; of items that the index leaves out too."""
    beam: int
    """hnswlib's `ef`: wider finds more and is slower."""
    recall: float
    """Share of the exact lists that it found, over a sample of queries, with the beam it was stored with."""

    @property
    def dimension(self) -> int:
        """Of the vectors to ask with."""
        return int(self.index.dim) - (self.space == AUGMENTED_L2)

    def search(
        self, vectors: npt.NDArray[np.float32], k: int = 10
    ) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float32]]:
        """The items with about the largest dot products.

        Parameters
        ----------
        vectors
            (n, d) queries such as user or item vectors, or one of (d,).

        Returns
        -------
        (n, k) item ids, best first, and their dot products; fewer columns where the index has fewer items.

        Raises
        ------
        RequestError
            The vectors are of another dimension than the index.
        """
        given = np.atleast_2d(np.asarray(vectors, np.float32))
        if given.ndim != 2 or given.shape[1] != self.dimension:
            raise RequestError(f"the index takes vectors of {self.dimension} dimensions, not of {given.shape[-1]}")
        k = max(0, min(k, int(self.index.get_current_count())))
        if k == 0 or len(given) == 0:
            return np.empty((len(given), k), object), np.empty((len(given), k), np.float32)
        queries = as_queries(given, self.space)
        self.index.set_ef(max(self.beam, k))
        labels, _ = self.index.knn_query(queries, k=k)
        found = np.asarray(self.index.get_items(labels.ravel()), np.float32).reshape(len(given), k, -1)
        return self.item_ids[labels.astype(np.int64)], np.einsum("nkd,nd->nk", found, queries)


def load_index(source: str | psycopg.Connection, name: str = "items", beam: int | None = None) -> ItemIndex:
    """Read an index of the live publication, and the ids of its labels.

    Parameters
    ----------
    source
        A URL of libpq or SQLAlchemy, a connection string such as `service=reco`, or an open connection. Its role must
        be allowed to read `reco.publications`, `reco.indexes` and `reco.catalogue`, as `reco_writer` is.
    name
        Which of the publication's indexes.
    beam
        hnswlib's `ef`; None takes the one that publishing found to be enough.

    Raises
    ------
    NotReadyError
        Nothing is live, or the live publication has no such index.
    ArtifactError
        The bytes are not those that were saved, or the catalogue lacks items of the index.
    DatabaseError
        PostgreSQL can't be reached, or the role may not read the index.
    """
    try:
        if isinstance(source, str):
            with _connected(source) as connection:
                return _read(connection, name, beam)
        return _read(source, name, beam)
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"{first_line(error)}: load the index as a member of reco_writer, or as a role that may select from"
            " reco.publications, reco.indexes and reco.catalogue"
        ) from None
    except psycopg.Error as error:
        raise DatabaseError(f"the index can't be read from PostgreSQL: {first_line(error)}") from error


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    scheme, separator, rest = url.partition("://")
    if separator and not scheme.startswith("postgres"):
        raise DatabaseError(f"an index is loaded from a postgresql:// URL, not from {scheme}://")
    try:
        connection = psycopg.connect(f"postgresql://{rest}" if separator else url, application_name="recommender")
    except psycopg.Error as error:
        raise DatabaseError(f"cannot reach PostgreSQL to load the index: {first_line(error)}") from None
    with connection:  # both reads under one snapshot
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


def _read(connection: psycopg.Connection, name: str, beam: int | None) -> ItemIndex:
    live = connection.execute("select publication_id from reco.publications where status = 'live'").fetchone()
    if live is None:
        raise NotReadyError("nothing is published yet, so there is no index to load: run a night first")
    publication_id = int(live[0])
    stored = _stored(connection, publication_id, name)
    item_ids = _ids_by_label(connection, publication_id)
    index = open_index(stored, beam)
    labels = np.asarray(index.get_ids_list(), np.int64)
    if len(labels) and (labels.max() >= len(item_ids) or any(item_ids[label] is None for label in labels)):
        raise ArtifactError(
            f"index {name!r} has items that publication {publication_id} lacks: publish the night again"
        )
    return ItemIndex(index, stored.space, item_ids, stored.beam if beam is None else beam, stored.recall)


def _stored(connection: psycopg.Connection, publication_id: int, name: str) -> HnswIndex:
    rows = connection.execute(
        """select chunk, data, checksum, space, dimension, elements, recall, beam
           from reco.indexes where publication_id = %s and name = %s order by chunk""",
        [publication_id, name],
        binary=True,
    ).fetchall()
    if not rows:
        raise NotReadyError(
            f"publication {publication_id} has no index {name!r}: its model makes no vectors, or a name was misspelt"
        )
    data = b"".join(row[1] for row in rows)
    _, _, checksum, *shape = rows[0]
    if [row[0] for row in rows] != list(range(len(rows))) or hashlib.sha256(data).hexdigest() != checksum:
        raise ArtifactError(
            f"index {name!r} of publication {publication_id} is corrupt or lacks a chunk: publish the night again"
        )
    return HnswIndex(data, *shape)


def _ids_by_label(connection: psycopg.Connection, publication_id: int) -> npt.NDArray[np.object_]:
    rows = connection.execute(
        "select label, item_id from reco.catalogue where publication_id = %s", [publication_id]
    ).fetchall()
    item_ids = np.full(max((label for label, _ in rows), default=-1) + 1, None, object)
    for label, item_id in rows:
        item_ids[label] = item_id
    return item_ids
