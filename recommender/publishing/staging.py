"""A publication's tables: loaded as tables of their own beside the live ones, attached when complete, dropped whole.

Readers ask the partitioned tables, by the live publication's id. What is being loaded, or was left by a publisher that
died, is no partition of them, or one that no reader asks for.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
from psycopg import sql

from recommender.progress import Progress
from recommender.publishing import vectors
from recommender.publishing.content import Content
from recommender.publishing.postings import POSTING_COLUMNS, posting_blocks
from recommender.publishing.rows import (
    ITEM_COLUMNS,
    LIST_COLUMNS,
    REASON_COLUMNS,
    item_blocks,
    list_blocks,
    reason_blocks,
)
from recommender.retrieval.hnsw import HnswIndex
from recommender.storage.copy_arrays import Buffer, TextPool, copy_blocks

_INDEX_CHUNK_BYTES = 16 * 2**20
_SORT_MEMORY = "256MB"
"""For building keys, unless the server gives more."""


@dataclass(frozen=True)
class Table:
    """A table that has one partition a publication."""

    name: str
    key: str
    """With `publication_id` in front."""
    columns: tuple[str, ...]
    """In the order of the rows' fields."""
    blocks: Callable[[int, Content, TextPool], Iterator[Buffer]]
    """Its encoded rows, of a publication's id, its content, and the encoded ids of its items."""
    indexed: tuple[str, ...] = ()
    """Columns that have an index of their own."""
    large: bool = False
    """Its blocks are made one by one, as they are sent; those of the others while the lists are sent."""


TABLES = (
    Table(
        "recommendation_lists",
        "user_id",
        LIST_COLUMNS,
        lambda own, content, ids: list_blocks(own, content.lists, ids),
        large=True,
    ),
    Table(
        "challenger_lists",
        "user_id",
        LIST_COLUMNS,
        lambda own, content, ids: list_blocks(own, content.challenger, ids),
        large=True,
    ),
    Table("reason_texts", "code", REASON_COLUMNS, lambda own, content, _: reason_blocks(own, content.reason_texts)),
    Table("catalogue", "item_id", ITEM_COLUMNS, lambda own, content, _: item_blocks(own, content), ("label",)),
    Table(
        "search_postings",
        "trigram",
        POSTING_COLUMNS,
        lambda own, content, _: posting_blocks(own, content.titles, content.creators),
    ),
)
_INDEXED = {table.name: table.indexed for table in TABLES}


def partition(table: str, publication_id: int) -> sql.Identifier:
    """The part of a table that holds one publication."""
    return sql.Identifier("reco", f"{table}_{publication_id}")


def keys(connection: psycopg.Connection) -> dict[str, str]:
    """Each table's key; those of vectors are among them where the server has pgvector."""
    every = {table.name: table.key for table in TABLES} | vectors.TABLES
    there = connection.execute(
        "select name from unnest(%s::text[]) as name where to_regclass('reco.' || name) is not null", [list(every)]
    ).fetchall()
    return {name: every[name] for (name,) in there}


def stage(
    connection: psycopg.Connection,
    publication_id: int,
    content: Content,
    progress: Progress,
    keyed: Callable[[], bool] = lambda: True,
) -> None:
    """Load a publication into tables of its own, all or nothing.

    Parameters
    ----------
    keyed
        Asked when all rows are loaded; False leaves the keys out, as rows may be there twice.
    """
    with connection.transaction():
        with_vectors = vectors.available(connection)  # makes their tables where it was installed since
        tables = keys(connection)
        _give_sort_memory(connection)
        for name in tables:
            connection.execute(
                sql.SQL(
                    "create table {} (like {} including defaults including storage, check (publication_id = {}))"
                ).format(partition(name, publication_id), sql.Identifier("reco", name), sql.Literal(publication_id))
            )
        _load(connection, publication_id, content)
        if with_vectors:
            vectors.load(connection, publication_id, content, progress)
        for name, key in tables.items() if keyed() else ():
            _add_key(connection, name, key, publication_id)
    for name, key in tables.items():
        # of the columns that are looked up by; counting what arrays hold takes longer than loading them
        columns = sql.SQL(", ").join(map(sql.Identifier, ("publication_id", key, *_INDEXED.get(name, ()))))
        connection.execute(sql.SQL("analyze {} ({})").format(partition(name, publication_id), columns))


def attach(connection: psycopg.Connection, publication_id: int) -> None:
    """Make the tables partitions, without a scan: a check of theirs says what the partition would be tested for."""
    for name in keys(connection):
        connection.execute(
            sql.SQL("alter table {} attach partition {} for values in ({})").format(
                sql.Identifier("reco", name), partition(name, publication_id), sql.Literal(publication_id)
            )
        )


def drop(connection: psycopg.Connection, publication_id: int) -> None:
    """Drop the tables that are there, partitions or not; waits for transactions that read them, and holds up nobody."""
    for name in (*(table.name for table in TABLES), *vectors.TABLES):
        attached = connection.execute(
            "select inhdetachpending from pg_inherits where inhrelid = to_regclass(%s)",
            [f"reco.{name}_{publication_id}"],
        ).fetchone()
        if attached is not None:
            # concurrently: readers of the live publication are never blocked; a killed detach is finished
            how = sql.SQL("finalize" if attached[0] else "concurrently")
            connection.execute(
                sql.SQL("alter table {} detach partition {} {}").format(
                    sql.Identifier("reco", name), partition(name, publication_id), how
                )
            )
        connection.execute(sql.SQL("drop table if exists {}").format(partition(name, publication_id)))


def _load(connection: psycopg.Connection, publication_id: int, content: Content) -> None:
    ids = TextPool(content.item_ids)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="encode") as worker:
        made = {
            table.name: worker.submit(list, table.blocks(publication_id, content, ids))
            for table in TABLES
            if not table.large
        }
        for table in TABLES:
            blocks = table.blocks(publication_id, content, ids) if table.large else made[table.name].result()
            copy_blocks(connection, partition(table.name, publication_id), table.columns, blocks, freeze=True)
    popular = content.popular
    listed = popular.items[0] >= 0
    connection.execute(
        "insert into reco.popular_lists (publication_id, item_ids, scores) values (%s, %s, %s)",
        [publication_id, content.item_ids[popular.items[0][listed]].tolist(), popular.scores[0][listed].tolist()],
    )
    if content.index is not None:
        _save_index(connection, publication_id, content.index)


def _save_index(connection: psycopg.Connection, publication_id: int, index: HnswIndex) -> None:
    digest = hashlib.sha256(index.data).hexdigest()
    for chunk, start in enumerate(range(0, len(index.data), _INDEX_CHUNK_BYTES)):
        connection.execute(
            """insert into reco.indexes (publication_id, name, chunk, data, checksum, space, dimension, elements,
                                         recall, beam)
               values (%s, 'items', %s, %s, %s, %s, %s, %s, %s, %s)""",
            [
                publication_id,
                chunk,
                index.data[start : start + _INDEX_CHUNK_BYTES],
                digest,
                index.space,
                index.dimension,
                index.elements,
                index.recall,
                index.beam,
            ],
        )


def _add_key(connection: psycopg.Connection, name: str, key: str, publication_id: int) -> None:
    table = partition(name, publication_id)
    connection.execute(
        sql.SQL("alter table {} add primary key (publication_id, {})").format(table, sql.Identifier(key))
    )
    for column in _INDEXED.get(name, ()):
        connection.execute(sql.SQL("create index on {} ({})").format(table, sql.Identifier(column)))


def _give_sort_memory(connection: psycopg.Connection) -> None:
    connection.execute(
        """select set_config('maintenance_work_mem', %(memory)s, true)
           where pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes(%(memory)s)""",
        {"memory": _SORT_MEMORY},
    )
