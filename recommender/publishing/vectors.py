"""A publication's vectors in PostgreSQL, where pgvector is: loaded by COPY, then indexed for search by SQL.

Items are indexed for the cosine, users for the inner product, by graphs of Malkov and Yashunin, Efficient and robust
approximate nearest neighbor search using Hierarchical Navigable Small World graphs (2016).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql

from recommender.errors import PublicationError
from recommender.progress import Progress, quiet
from recommender.publishing.content import Content, Vectors
from recommender.storage.copy_arrow import copy_batches

TABLES = {"item_vectors": "item_id", "user_vectors": "user_id"}
"""Of each table the column that, with `publication_id`, is its key."""

_COPIED_ROWS = 1 << 14
_SEED = 100
_FULL_PRECISION, _HALF_PRECISION = 2000, 4000
"""Most dimensions of an index, by what it is over; `reco.nearest` in SQL goes by the same."""
_BUILD_BEAM = 64
_MOST_MEMORY = 8 * 2**30
"""A graph beyond it is built on disk, slowly."""


@dataclass(frozen=True)
class _Graph:
    measure: str
    """Of pgvector's operator classes."""
    links: int

    def memory(self, rows: int, dimension: int) -> int:
        """Bytes of the graph while it is built."""
        return min(rows * (4 * dimension + 36 * self.links + 256), _MOST_MEMORY)


# few links leave users out whom an inner product should find: norms vary
_GRAPHS = {"item_vectors": _Graph("cosine", links=16), "user_vectors": _Graph("ip", links=32)}


def available(connection: psycopg.Connection) -> bool:
    """Whether the server has pgvector; makes the tables where it was installed since."""
    row = connection.execute("select reco.enable_vectors()").fetchone()
    return row is not None and bool(row[0])


def load(connection: psycopg.Connection, publication_id: int, content: Content, progress: Progress = quiet) -> None:
    """Fill and index the staged tables `reco.item_vectors_<id>` and `reco.user_vectors_<id>`, in a transaction.

    Raises
    ------
    PublicationError
        A vector holds what isn't a number, or users' and items' differ in length.
    """
    items = [] if content.item_vectors is None else [content.item_vectors]
    users = [vectors for vectors in content.user_vectors if len(vectors.ids)]
    _check(items, users)
    for table, parts in (("item_vectors", items), ("user_vectors", users)):
        rows = sum(len(vectors.ids) for vectors in parts)
        if rows == 0:
            continue
        staged = sql.Identifier("reco", f"{table}_{publication_id}")
        columns = ("publication_id", TABLES[table], "embedding")
        copy_batches(connection, staged, _batches(publication_id, parts), columns)
        dimension = parts[0].values.shape[1]
        if dimension <= _HALF_PRECISION:
            progress(f"indexing {rows:,} {table.replace('_', ' ')} of {dimension} dimensions")
            _index(connection, staged, _GRAPHS[table], rows, dimension)


def _check(items: Sequence[Vectors], users: Sequence[Vectors]) -> None:
    for name, parts in (("item", items), ("user", users)):
        wrong = sum(int((~np.isfinite(vectors.values).all(axis=1)).sum()) for vectors in parts)
        if wrong:
            raise PublicationError(f"{wrong:,} {name} vectors hold values that are not numbers: train the model again")
    lengths = sorted({vectors.values.shape[1] for vectors in (*items, *users)})
    if len(lengths) > 1:
        raise PublicationError(f"vectors of one model must be of one dimension, not of {lengths}")


def _batches(publication_id: int, parts: Sequence[Vectors]) -> Iterator[pa.RecordBatch]:
    """Rows in a shuffled order: a graph that is fed in the order of norms misses more for an inner product."""
    ids = np.concatenate([vectors.ids for vectors in parts])
    values = np.concatenate([vectors.values for vectors in parts])
    order = np.random.default_rng(_SEED).permutation(len(ids))
    for start in range(0, len(order), _COPIED_ROWS):
        rows = order[start : start + _COPIED_ROWS]
        identity = pa.array(np.full(len(rows), publication_id, np.int64))
        columns = [identity, pa.array(ids[rows], pa.string()), _as_sent(values[rows])]
        yield pa.record_batch(columns, ["publication_id", "id", "embedding"])


def _as_sent(values: npt.NDArray[np.float32]) -> pa.Array:
    """(n, d) vectors as pgvector's `vector_send` writes them: dimension, an unused 0, the values; big-endian."""
    rows, dimension = values.shape
    sent = np.zeros(rows, [("dimension", ">i2"), ("unused", ">i2"), ("values", ">f4", (dimension,))])
    sent["dimension"] = dimension
    sent["values"] = values
    ends = np.arange(rows + 1, dtype=np.int32) * sent.itemsize
    return pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(ends), pa.py_buffer(sent)])


def _index(connection: psycopg.Connection, table: sql.Identifier, graph: _Graph, rows: int, dimension: int) -> None:
    connection.execute(
        """select set_config('maintenance_work_mem', %(memory)s, true)
           where pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes(%(memory)s)""",
        {"memory": f"{graph.memory(rows, dimension) // 1024}kB"},
    )
    kind = "vector" if dimension <= _FULL_PRECISION else "halfvec"
    statement = sql.SQL("create index on {} using hnsw ((embedding::{}({})) {}) with (m = {}, ef_construction = {})")
    schema = _schema(connection)
    create = statement.format(
        table,
        sql.Identifier(schema, kind),
        sql.Literal(dimension),
        sql.Identifier(schema, f"{kind}_{graph.measure}_ops"),
        sql.Literal(graph.links),
        sql.Literal(_BUILD_BEAM),
    )
    try:
        with connection.transaction():
            connection.execute(create)
    except psycopg.errors.DiskFull:  # workers share the graph in /dev/shm, which is 64 MB in many a container
        connection.execute("select set_config('max_parallel_maintenance_workers', '0', true)")
        connection.execute(create)


def _schema(connection: psycopg.Connection) -> str:
    row = connection.execute(
        "select nspname from pg_extension join pg_namespace n on n.oid = extnamespace where extname = 'vector'"
    ).fetchone()
    if row is None:
        raise PublicationError("pgvector was removed while vectors were loaded: publish the night again")
    return str(row[0])
