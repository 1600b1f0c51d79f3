"""Publications: loaded beside the live one, checked, made live in one transaction, rolled back, retired.

The large tables are loaded as tables of their own and attached as partitions when complete. A killed
publisher leaves a `staging` publication that nobody reads and the next publisher removes.
"""

import hashlib
from collections.abc import Callable
from datetime import date

import psycopg
from psycopg import sql

from recommender.errors import PublicationError
from recommender.progress import Progress, quiet
from recommender.publishing.content import Content
from recommender.publishing.postings import COLUMNS, posting_rows
from recommender.publishing.rows import (
    ITEM_COLUMNS,
    LIST_COLUMNS,
    POPULAR_COLUMNS,
    REASON_COLUMNS,
    item_rows,
    list_rows,
    popular_rows,
    reason_rows,
)
from recommender.storage.copy_arrays import TextPool, copy_binary

_LARGE_TABLES = {
    "recommendation_lists": "user_id",
    "reason_texts": "code",
    "catalogue": "item_id",
    "search_postings": "trigram",
}
_INDEX_CHUNK_BYTES = 16 * 2**20
_LOCK_WAIT = "15min"


def publish(
    connection: psycopg.Connection,
    ds: date,
    model_version: str,
    fingerprint: str,
    content: Callable[[], Content],
    keep: int,
    progress: Progress = quiet,
) -> tuple[int, str]:
    """Make the night's content live; returns the live publication's id and what was done.

    Content that is live already (same fingerprint) is left as it is. A newer night's publication is never
    displaced. `connection` must be in autocommit mode; one publisher works at a time.

    Raises
    ------
    PublicationError
        The staged publication failed a check; it stays as `failed` with the reason, the live one goes on.
    """
    connection.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(_LOCK_WAIT)))
    try:
        connection.execute("select pg_advisory_lock(hashtext('reco.publish'))")
    except psycopg.errors.LockNotAvailable:
        raise PublicationError(
            f"another publisher has held the lock for {_LOCK_WAIT}: is a stuck run to be stopped?"
        ) from None
    try:
        _remove_abandoned(connection)
        live = connection.execute(
            "select publication_id, ds, fingerprint from reco.publications where status = 'live'"
        ).fetchone()
        if live is not None and live[1] > ds:
            return live[0], f"the live publication is of a newer night ({live[1]}), left as it is"
        if live is not None and live[1] == ds and live[2] == fingerprint:
            return live[0], "this very content is live already"
        again = connection.execute(
            "select publication_id from reco.publications where ds = %s and fingerprint = %s and status = 'retired'",
            [ds, fingerprint],
        ).fetchone()
        if again is not None:
            _activate(connection, again[0])
            return again[0], "this very content was loaded before, made live again"
        publication_id = _stage(connection, ds, model_version, fingerprint, content(), progress)
        _activate(connection, publication_id)
        _retire(connection, ds, publication_id, keep)
        return publication_id, "live"
    finally:
        connection.execute("select pg_advisory_unlock(hashtext('reco.publish'))")


def _stage(
    connection: psycopg.Connection, ds: date, model_version: str, fingerprint: str, content: Content, progress: Progress
) -> int:
    row = connection.execute(
        """insert into reco.publications (ds, model_version, status, users, items, fingerprint)
           values (%s, %s, 'staging', %s, %s, %s) returning publication_id""",
        [ds, model_version, content.users, len(content.item_ids), fingerprint],
    ).fetchone()
    if row is None:
        raise PublicationError("PostgreSQL gave the new publication no id")
    publication_id = int(row[0])
    progress(f"loading publication {publication_id}: {content.users:,} users, {len(content.item_ids):,} items")
    with connection.transaction():
        for table in _LARGE_TABLES:
            connection.execute(
                sql.SQL(
                    "create table {} (like {} including defaults including storage, check (publication_id = {}))"
                ).format(_partition(table, publication_id), sql.Identifier("reco", table), sql.Literal(publication_id))
            )
        _load(connection, publication_id, content)
        for table, key in _LARGE_TABLES.items():
            connection.execute(
                sql.SQL("alter table {} add primary key (publication_id, {})").format(
                    _partition(table, publication_id), sql.Identifier(key)
                )
            )
        connection.execute(sql.SQL("create index on {} (label)").format(_partition("catalogue", publication_id)))
    problem = _problem(connection, publication_id, content)
    if problem is not None:
        connection.execute(
            "update reco.publications set status = 'failed', detail = %s where publication_id = %s",
            [problem, publication_id],
        )
        raise PublicationError(
            f"publication {publication_id} of {ds} failed its checks and was not made live: {problem}"
        )
    for table in _LARGE_TABLES:
        connection.execute(
            sql.SQL("alter table {} attach partition {} for values in ({})").format(
                sql.Identifier("reco", table), _partition(table, publication_id), sql.Literal(publication_id)
            )
        )
        connection.execute(sql.SQL("analyze {}").format(_partition(table, publication_id)))
    return publication_id


def _load(connection: psycopg.Connection, publication_id: int, content: Content) -> None:
    pool = TextPool(content.item_ids)
    for table, columns, rows in (
        ("recommendation_lists", LIST_COLUMNS, list_rows(publication_id, content.lists, pool)),
        ("reason_texts", REASON_COLUMNS, reason_rows(publication_id, content.reason_texts)),
        ("catalogue", ITEM_COLUMNS, item_rows(publication_id, content, pool)),
        ("search_postings", COLUMNS, posting_rows(publication_id, content.titles, content.creators)),
    ):
        copy_binary(connection, _partition(table, publication_id), columns, rows)
    popular = popular_rows(publication_id, content.popular, pool)
    copy_binary(connection, sql.Identifier("reco", "popular_lists"), POPULAR_COLUMNS, popular)
    if content.index is not None:
        _save_index(connection, publication_id, content)


def _save_index(connection: psycopg.Connection, publication_id: int, content: Content) -> None:
    index = content.index
    if index is None:
        return
    digest = hashlib.sha256(index.data).hexdigest()
    for chunk, start in enumerate(range(0, len(index.data), _INDEX_CHUNK_BYTES)):
        connection.execute(
            """insert into reco.indexes (publication_id, name, chunk, data, checksum, space, dimension, elements,
                                         recall)
               values (%s, 'items', %s, %s, %s, %s, %s, %s, %s)""",
            [
                publication_id,
                chunk,
                index.data[start : start + _INDEX_CHUNK_BYTES],
                digest,
                index.space,
                index.dimension,
                index.elements,
                index.recall,
            ],
        )


def _problem(connection: psycopg.Connection, publication_id: int, content: Content) -> str | None:
    """The first check that the staged rows fail, in words; None when all hold."""
    lists, catalogue = _partition("recommendation_lists", publication_id), _partition("catalogue", publication_id)
    checks = (
        (
            "{wrong} of {expected} users are missing",
            sql.SQL("select {} - count(*) from {}").format(sql.Literal(content.users), lists),
        ),
        (
            "{wrong} users have a list that is empty, or arrays that differ in length",
            sql.SQL(
                """select count(*) from {}
                   where cardinality(item_ids) = 0 or cardinality(item_ids) <> cardinality(scores)"""
            ).format(lists),
        ),
        (
            "{wrong} users have an item twice, or one that is missing",
            sql.SQL(
                """select count(*) from {} where cardinality(item_ids)
                   <> (select count(distinct item_id) from unnest(item_ids) as item_id)"""
            ).format(lists),
        ),
        (
            "{wrong} users have a score that is not a number",
            sql.SQL(
                """select count(*) from {}
                   where 'NaN' = any (scores) or 'Infinity' = any (scores) or '-Infinity' = any (scores)"""
            ).format(lists),
        ),
        (
            "{wrong} recommended items are not in the catalogue",
            sql.SQL(
                """select count(*) from (select distinct unnest(item_ids) as item_id from {}) as shown
                   where not exists (select from {} as c where c.item_id = shown.item_id)"""
            ).format(lists, catalogue),
        ),
        (
            "the list for unknown users is empty",
            sql.SQL(
                "select count(*) from reco.popular_lists where publication_id = {} and cardinality(item_ids) = 0"
            ).format(sql.Literal(publication_id)),
        ),
    )
    if content.users == 0:
        return "it has no users"
    for message, query in checks:
        row = connection.execute(query).fetchone()
        if row is None or row[0] != 0:
            return message.format(wrong=row[0] if row else "all", expected=content.users)
    return None


def _activate(connection: psycopg.Connection, publication_id: int) -> None:
    """The swap: one short transaction, under the lock that `reco.rollback()` takes too."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('reco.publications'))")
        connection.execute("update reco.publications set status = 'retired' where status = 'live'")
        connection.execute(
            "update reco.publications set status = 'live', activated_at = now() where publication_id = %s",
            [publication_id],
        )


def _retire(connection: psycopg.Connection, ds: date, live: int, keep: int) -> None:
    """Drop what the night's new publication replaced, and all but the last `keep`."""
    expired = connection.execute(
        """select publication_id from reco.publications
           where publication_id <> %(live)s
             and (ds = %(ds)s
                  or publication_id not in (select publication_id from reco.publications
                                            where ds <> %(ds)s or publication_id = %(live)s
                                            order by publication_id desc limit %(keep)s))""",
        {"live": live, "ds": ds, "keep": keep},
    ).fetchall()
    for (publication_id,) in expired:
        _remove(connection, publication_id)


def _remove_abandoned(connection: psycopg.Connection) -> None:
    """Under the publisher's lock a `staging` publication has no publisher any more."""
    for (publication_id,) in connection.execute(
        "select publication_id from reco.publications where status = 'staging'"
    ).fetchall():
        _remove(connection, publication_id)


def _remove(connection: psycopg.Connection, publication_id: int) -> None:
    """Drop a publication, but for one that a rollback made live meanwhile; killed on the way it is nobody's to read."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('reco.publications'))")
        given_up = connection.execute(
            """update reco.publications set status = 'staging'
               where publication_id = %s and status <> 'live' returning publication_id""",
            [publication_id],
        ).fetchone()
    if given_up is None:
        return
    for table in _LARGE_TABLES:
        attached = connection.execute(
            "select inhdetachpending from pg_inherits where inhrelid = to_regclass(%s)",
            [f"reco.{table}_{publication_id}"],
        ).fetchone()
        if attached is not None:
            # concurrently: readers of the live publication are never blocked; a killed detach is finished
            how = sql.SQL("finalize" if attached[0] else "concurrently")
            connection.execute(
                sql.SQL("alter table {} detach partition {} {}").format(
                    sql.Identifier("reco", table), _partition(table, publication_id), how
                )
            )
        connection.execute(sql.SQL("drop table if exists {}").format(_partition(table, publication_id)))
    connection.execute("delete from reco.publications where publication_id = %s", [publication_id])


def _partition(table: str, publication_id: int) -> sql.Identifier:
    return sql.Identifier("reco", f"{table}_{publication_id}")
