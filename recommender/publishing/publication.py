"""Publications: loaded beside the live one, checked, made live in one transaction, rolled back, retired.

A killed publisher leaves a `staging` publication that nobody reads and the next publisher removes. One that fails its
checks stays as `failed`, with its tables and the reason.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import psycopg
import pyarrow as pa
from psycopg import sql
from psycopg.types.json import Jsonb

from recommender.errors import PublicationError, first_line
from recommender.progress import Progress, quiet
from recommender.publishing import staging
from recommender.publishing.checks import Findings, Wanted, check_content, is_whole
from recommender.publishing.content import Content
from recommender.publishing.loaded import check_loaded

_LOCK_WAIT = "15min"
_REMOVAL_WAIT = "30s"
"""For transactions that still read what is to be removed; after it, the next publisher removes it."""
_FAILED_KEPT = 2


@dataclass(frozen=True)
class Bounds:
    """What a publication must keep to, as the profile's section `publish` has it."""

    min_coverage: float = 0.0
    min_overlap: float = 0.0


_UNBOUNDED = Bounds()


def publish(
    connection: psycopg.Connection,
    ds: date,
    model_version: str,
    fingerprint: str,
    content: Callable[[], Content],
    keep: int,
    progress: Progress = quiet,
    *,
    wanted: Callable[[], Wanted] | None = None,
    bounds: Bounds = _UNBOUNDED,
) -> tuple[int, str]:
    """Make the night's content live; returns the live publication's id and what was done.

    Content that is live already (same fingerprint) is left as it is. A newer night's publication is never
    displaced. `connection` must be in autocommit mode and reach PostgreSQL itself, not a pool of transactions; one
    publisher works at a time.

    Parameters
    ----------
    keep
        Publications that are kept for rollback, the live one among them.
    wanted
        Who must have a list, and of what it may be; asked for after `content`.

    Raises
    ------
    PublicationError
        The publication failed a check; it stays as `failed` with the reason, the live one goes on.
    """
    with _alone(connection):
        _remove_abandoned(connection)
        live, kept = _live(connection), _kept(connection, ds, fingerprint)
        if live is not None and live[1] > ds:
            return live[0], f"the live publication is of a newer night ({live[1]}), left as it is"
        if live is not None and live[0] == kept:
            return live[0], "this very content is live already"
        if kept is not None:
            _activate(connection, kept)
            return kept, "this very content was loaded before, made live again"
        made = content()
        expected = None if wanted is None else wanted()
        publication_id = _register(connection, ds, model_version, fingerprint, made)
        progress(f"loading publication {publication_id}: {made.users:,} users, {len(made.item_ids):,} items")
        found = _load(connection, publication_id, made, expected, bounds, None if live is None else live[0], progress)
        _record(connection, publication_id, found)
        if found.faults:
            _expire_failed(connection)
            raise PublicationError(
                f"publication {publication_id} of {ds} failed its checks and was not made live: "
                + "; ".join(found.faults)
            )
        staging.attach(connection, publication_id)
        _activate(connection, publication_id)
        _retire(connection, ds, publication_id, keep)
        _expire_failed(connection)
        return publication_id, _done(found)


def is_made(connection: psycopg.Connection, ds: date, fingerprint: str) -> bool:
    """Whether `publish` would make nothing: this content is loaded, or a newer night's is live."""
    live = _live(connection)
    return (live is not None and live[1] > ds) or _kept(connection, ds, fingerprint) is not None


def _live(connection: psycopg.Connection) -> tuple[int, date] | None:
    """The live publication's id and night."""
    return connection.execute("select publication_id, ds from reco.publications where status = 'live'").fetchone()


def _kept(connection: psycopg.Connection, ds: date, fingerprint: str) -> int | None:
    """The publication that has this content, live or retired."""
    row = connection.execute(
        """select publication_id from reco.publications
           where ds = %s and fingerprint = %s and status in ('live', 'retired') order by status, publication_id desc""",
        [ds, fingerprint],
    ).fetchone()
    return None if row is None else int(row[0])


@contextmanager
def _alone(connection: psycopg.Connection) -> Iterator[None]:
    """Hold the lock of publishers; PostgreSQL takes it from whoever dies."""
    connection.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(_LOCK_WAIT)))
    try:
        connection.execute("select pg_advisory_lock(hashtext('reco.publish'))")
    except psycopg.errors.LockNotAvailable:
        raise PublicationError(
            f"another publisher has held the lock for {_LOCK_WAIT}: is a stuck run to be stopped?"
        ) from None
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(hashtext('reco.publish'))")


def _register(connection: psycopg.Connection, ds: date, model_version: str, fingerprint: str, content: Content) -> int:
    row = connection.execute(
        """insert into reco.publications (ds, model_version, status, users, items, fingerprint, experiment_id)
           values (%s, %s, 'staging', %s, %s, %s, %s) returning publication_id""",
        [ds, model_version, content.users, len(content.item_ids), fingerprint, content.experiment_id],
    ).fetchone()
    if row is None:
        raise PublicationError("PostgreSQL gave the new publication no id")
    return int(row[0])


def _load(
    connection: psycopg.Connection,
    publication_id: int,
    content: Content,
    wanted: Wanted | None,
    bounds: Bounds,
    live: int | None,
    progress: Progress,
) -> Findings:
    """Load what can be loaded, what fails its checks too: it may be looked at. The arrays are checked meanwhile."""
    if not is_whole(content):
        return Findings(["ids, lists, scores or reasons differ in length, or name an item that is not there"])
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="check") as worker:
        checking = worker.submit(check_content, content, wanted, bounds.min_coverage)
        try:
            staging.stage(connection, publication_id, content, progress, lambda: not checking.result().faults)
        except (PublicationError, pa.ArrowException, psycopg.IntegrityError, psycopg.DataError) as error:
            return Findings(checking.result().faults or [first_line(error)])  # more lines may name a user
    found = checking.result()
    if found.faults:
        return found
    loaded = check_loaded(connection, publication_id, content, live, bounds.min_overlap)
    return Findings(loaded.faults, found.measured | loaded.measured)


def _record(connection: psycopg.Connection, publication_id: int, found: Findings) -> None:
    connection.execute(
        """update reco.publications set checks = %s, detail = %s, status = %s where publication_id = %s""",
        [
            Jsonb(found.measured),
            "; ".join(found.faults) or None,
            "failed" if found.faults else "staging",
            publication_id,
        ],
    )


def _done(found: Findings) -> str:
    overlap = found.measured.get("overlap")
    return "live" if overlap is None else f"live, {overlap:.0%} of a list as it was"


def _activate(connection: psycopg.Connection, publication_id: int) -> None:
    """The swap: one short transaction, under the lock that `reco.rollback()` takes too."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('reco.publications'))")
        connection.execute("update reco.publications set status = 'retired' where status = 'live'")
        connection.execute(
            """update reco.publications set status = 'live', activated_at = now(), withdrawn_at = null
               where publication_id = %s""",
            [publication_id],
        )


def _retire(connection: psycopg.Connection, ds: date, own: int, keep: int) -> None:
    """Drop what the night's new publication replaced, and all but the last `keep`; those withdrawn go first."""
    expired = connection.execute(
        """select publication_id from reco.publications
           where status = 'retired' and publication_id <> %(own)s
             and (ds = %(ds)s
                  or publication_id not in (select publication_id from reco.publications
                                            where status in ('live', 'retired')
                                              and (ds <> %(ds)s or publication_id = %(own)s)
                                            order by withdrawn_at is not null, publication_id desc limit %(keep)s))
           order by publication_id""",
        {"ds": ds, "own": own, "keep": keep},
    ).fetchall()
    for (publication_id,) in expired:
        _remove(connection, publication_id)


def _expire_failed(connection: psycopg.Connection) -> None:
    """Drop all but the last that failed."""
    expired = connection.execute(
        "select publication_id from reco.publications where status = 'failed' order by publication_id desc offset %s",
        [_FAILED_KEPT],
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
    connection.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(_REMOVAL_WAIT)))
    try:
        staging.drop(connection, publication_id)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.ObjectNotInPrerequisiteState):
        return  # a long read uses it, or one whose removal waits already: the next publisher tries again
    finally:
        if not connection.closed:
            connection.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(_LOCK_WAIT)))
    connection.execute("delete from reco.publications where publication_id = %s", [publication_id])
