"""Erasure [7]: users removed from everything a world keeps, and kept out of it from then on.

The order makes it safe to be killed anywhere: first the request, then the erasure list that every ingest obeys, then
the places one by one, last the audit row with the request's removal in one transaction. Running again finishes.
"""

import fcntl
import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from recommender.config.settings import Settings
from recommender.data.erasures import add_erased
from recommender.data.lake_erasure import erase_from_lake
from recommender.data.session import working_database
from recommender.errors import NotReadyError, RecommenderError
from recommender.evaluation.report import forget_examples
from recommender.experiments.outcomes import forget
from recommender.progress import Progress, quiet
from recommender.storage import embedded
from recommender.storage.artifact_ids import erase_from_artifacts
from recommender.storage.postgres import libpq_url
from recommender.storage.world_lock import alone

_WAIT_SECONDS = 900.0


@dataclass(frozen=True)
class Erasure:
    """What one run of the erasure did, without an id."""

    users: int
    places: dict[str, int] = field(default_factory=dict)
    """Rows removed, by place; ids replaced for `artifacts`."""

    @property
    def summary(self) -> str:
        if not self.users:
            return "nobody is waiting to be erased"
        who = "1 user" if self.users == 1 else f"{self.users:,} users"
        if not self.places:
            return f"{who} on the erasure list now: nothing of theirs was found, and no night will take them in"
        found = ", ".join(f"{place} {count:,}" for place, count in self.places.items())
        return f"{who} erased, rows by place: {found}"


def erase_users(
    settings: Settings,
    connection: psycopg.Connection,
    user_ids: Sequence[str] = (),
    progress: Progress = quiet,
    wait_seconds: float = _WAIT_SECONDS,
) -> Erasure:
    """Erase these users, and everybody in `reco.erasure_requests`. `connection` must be in autocommit mode.

    Raises
    ------
    RecommenderError
        An id is empty.
    NotReadyError
        A stage of the night ran for longer than `wait_seconds`; the requests are kept.
    """
    for user_id in user_ids:
        if not user_id.strip(" "):
            raise RecommenderError("an erasure needs a user id")
        connection.execute("select reco.request_erasure(%s)", [user_id])
    if not _requested(connection):
        return Erasure(0)
    with alone(settings.world, wait_seconds, progress):
        users = _requested(connection)
        add_erased(settings, users)
        removed: dict[str, Counter[str]] = {}
        for place, counts in _places(settings, connection, users):
            if counts:
                removed[place] = counts
                progress(f"{place}: {counts.total():,} rows removed")
        _close(connection, users, removed)
    return Erasure(len(users), {place: counts.total() for place, counts in removed.items()})


def _places(
    settings: Settings, connection: psycopg.Connection, users: Collection[str]
) -> Iterator[tuple[str, Counter[str]]]:
    """Erase from one place after the other; yields rows removed, by user."""
    from recommender.features.online.erasure import erase_online  # Feast takes seconds to import

    yield "backtests", _remove_backtests(settings, users)  # first: one that runs refuses before anything is counted
    shutil.rmtree(settings.ranked, ignore_errors=True)  # holds no ids; a night that is not published is ranked again
    with working_database(settings.profile.engine, settings.world) as database:
        by_table = erase_from_lake(database, settings.lake, users)
    yield from ((f"lake/{table}", counts) for table, counts in by_table.items())
    yield "artifacts", erase_from_artifacts(connection, settings.artifacts, users)
    yield "feast", erase_online(libpq_url(settings), users)
    yield "publications", _erase_from_publications(connection, users)
    yield "experiments", forget(connection, users)
    yield "reports", erase_from_reports(settings, users)


def erase_from_reports(settings: Settings, users: Collection[str]) -> Counter[str]:
    """Take the users' examples out of every night's report; returns examples removed, by user."""
    folders = sorted(settings.reports.glob("ds=*/"))
    return Counter(user for folder in folders for user in forget_examples(folder, settings.profile.words, users))


def _remove_backtests(settings: Settings, users: Collection[str]) -> Counter[str]:
    """Delete the worlds of backtests, which can be run again; returns how many, for every user.

    Raises
    ------
    NotReadyError
        One is being run.
    """
    folders = sorted(path for path in settings.backtests.glob("*/") if path.is_dir())
    for folder in folders:
        with (folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise NotReadyError(f"backtest {folder.name} is being run: erase again when it is done") from None
            for world in folder.glob("*/postgres"):
                embedded.stop(world)
            shutil.rmtree(folder)
    return Counter({user: len(folders) for user in users} if folders else {})


def _erase_from_publications(connection: psycopg.Connection, users: Collection[str]) -> Counter[str]:
    """Delete the users' lists and vectors from every publication: live, kept, failed, or left by a killed publisher."""
    deleted: Counter[str] = Counter()
    tables = connection.execute(
        r"""select relname, substring(relname from '\d+$')::bigint from pg_class
            where relnamespace = 'reco'::regnamespace and relkind = 'r'
              and relname ~ '^(recommendation_lists|challenger_lists|user_vectors)_\d+$'
            order by relname"""
    ).fetchall()
    for table, publication_id in tables:
        with connection.transaction():
            rows = connection.execute(
                sql.SQL("delete from {} where user_id = any(%s) returning user_id").format(
                    sql.Identifier("reco", table)
                ),
                [list(users)],
            ).fetchall()
            if table.startswith("recommendation_lists"):
                connection.execute(
                    "update reco.publications set users = users - %s where publication_id = %s",
                    [len(rows), publication_id],
                )
        deleted.update(user for (user,) in rows)
    return deleted


def _requested(connection: psycopg.Connection) -> list[str]:
    return [row[0] for row in connection.execute("select user_id from reco.erasure_requests order by 1").fetchall()]


def _close(connection: psycopg.Connection, users: Sequence[str], removed: dict[str, Counter[str]]) -> None:
    """The audit, one row a user and no id, and the end of the requests: both or neither."""
    with connection.transaction():
        for user in users:
            places = {place: counts[user] for place, counts in removed.items() if counts[user]}
            connection.execute(
                """insert into reco.erasures (requested_at, places)
                   select requested_at, %s from reco.erasure_requests where user_id = %s""",
                [json.dumps(places), user],
            )
        connection.execute("delete from reco.erasure_requests where user_id = any(%s)", [list(users)])
