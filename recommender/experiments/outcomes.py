"""What exposed users went on to do, a day at a time: exposures joined with the lake's events and the lists served."""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

import psycopg
import pyarrow as pa
from psycopg import sql

from recommender.columns import ITEM_ID, TS, USER_ID, WEIGHT
from recommender.config.settings import Settings
from recommender.data.dataset import night_end
from recommender.data.events import known_events
from recommender.data.session import working_database
from recommender.errors import NotReadyError
from recommender.experiments.life import Experiment, counting
from recommender.experiments.results import Result, conclude, results
from recommender.progress import Progress, quiet
from recommender.storage.copy_arrow import TIMESTAMP, copy_batches
from recommender.storage.lake import Lake

_DAY = timedelta(days=1)
_BATCH_ROWS = 500_000
_EVENTS = pa.schema({USER_ID: pa.string(), ITEM_ID: pa.string(), TS: TIMESTAMP, WEIGHT: pa.float64()})


@dataclass(frozen=True)
class Measured:
    """What became of the experiments in which a night's day counts."""

    summary: str
    rows: int = 0
    """Outcomes of the night: users with an event."""


class _Served(NamedTuple):
    """The publication whose lists were live on some days."""

    publication_id: int
    ds: date
    experiment_id: int | None


def measure(settings: Settings, ds: date, connection: psycopg.Connection, progress: Progress = quiet) -> Measured:
    """Leave the outcomes of the day `ds`, and the results up to it, of every experiment in which it counts.

    The lists of a day are those of the newest publication of a night before it. With nights further apart than a day,
    the days since that night are measured together. Events are those that the lake holds now; running again takes in
    what came late, and leaves the same rows otherwise. `connection` must be in autocommit mode.

    Raises
    ------
    NotReadyError
        The night has not been ingested yet.
    """
    experiments = counting(connection, ds)
    if not experiments:
        return Measured(f"no experiment counts on {ds}")
    lake = Lake(settings.lake)
    if not any(night >= ds for night in lake.nights("events")):
        raise NotReadyError(f"the lake has no night {ds} yet: run `recommender run ingest --ds {ds}` first")
    summaries, rows = [], 0
    for experiment in experiments:
        progress(f"experiment {experiment.name}: joining its users with the events of {ds}")
        done = _measure(settings, lake, experiment, ds, connection)
        rows += done.rows
        summaries.append(f"experiment {experiment.name}: {done.summary}")
    return Measured("; ".join(summaries), rows)


def forget(connection: psycopg.Connection, users: Collection[str]) -> Counter[str]:
    """Take users out of every experiment; returns rows removed, by user. Results keep their figures."""
    removed: Counter[str] = Counter()
    for table in ("exposures", "outcomes"):
        rows = connection.execute(
            sql.SQL("delete from {} where user_id = any(%s) returning user_id").format(sql.Identifier("reco", table)),
            [list(users)],
        ).fetchall()
        removed.update(user for (user,) in rows)
    return removed


class _ListsGoneError(Exception):
    """A publisher removed them while they were read."""


def _measure(
    settings: Settings, lake: Lake, experiment: Experiment, ds: date, connection: psycopg.Connection
) -> Measured:
    try:
        return _measure_by_lists(settings, lake, experiment, ds, connection)
    except _ListsGoneError:
        return _measure_by_lists(settings, lake, experiment, ds, connection)


def _measure_by_lists(
    settings: Settings, lake: Lake, experiment: Experiment, ds: date, connection: psycopg.Connection
) -> Measured:
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('reco.outcomes'))")
        served = _served_before(connection, ds)
        if served is None and _is_measured(connection, experiment, ds):
            return Measured(f"the lists of {ds} are gone, its outcomes stay as they are")
        if served is not None and served.experiment_id != experiment.experiment_id:
            return Measured(f"its lists were not live on {ds}")
        first = ds if served is None else served.ds + _DAY
        if served is not None and experiment.exposure == "assigned":
            _expose(connection, experiment, served)
        with _events(settings, lake, connection, first, ds):
            rows = _join(connection, experiment, served, first, ds)
        if _served_before(connection, ds) != served:
            raise _ListsGoneError
        conclude(connection, experiment, ds)
        found = results(connection, experiment, ds)
    return Measured(_summary(found) if found else "nobody was exposed yet", rows)


def _served_before(connection: psycopg.Connection, ds: date) -> _Served | None:
    """None where no publication of an earlier night is kept."""
    row = connection.execute(
        """select publication_id, ds, experiment_id from reco.publications
           where ds < %s and status in ('live', 'retired') and (withdrawn_at is null or withdrawn_at >= %s)
           order by ds desc, publication_id desc limit 1""",
        [ds, night_end(ds)],
    ).fetchone()
    return None if row is None else _Served(*row)


def _is_measured(connection: psycopg.Connection, experiment: Experiment, ds: date) -> bool:
    row = connection.execute(
        "select 1 from reco.experiment_results where experiment_id = %s and ds = %s limit 1",
        [experiment.experiment_id, ds],
    ).fetchone()
    return row is not None


def _expose(connection: psycopg.Connection, experiment: Experiment, served: _Served) -> None:
    """Everybody with a list is exposed, from the day after the first night that gave them one."""
    parameters = {
        "experiment": experiment.experiment_id,
        "first_at": night_end(served.ds),
        "salt": experiment.salt,
        "share": experiment.share,
        "publication": served.publication_id,
    }
    exposed = connection.execute(
        """insert into reco.exposures (experiment_id, user_id, first_at, variant)
           select %(experiment)s, l.user_id, %(first_at)s,
                  case when reco.in_challenger(l.user_id, %(salt)s, %(share)s) then 'challenger' else 'champion' end
           from reco.recommendation_lists l
           where l.publication_id = %(publication)s and not exists (
               select from reco.exposures x where x.experiment_id = %(experiment)s and x.user_id = l.user_id)""",
        parameters,
    )
    connection.execute(  # nights were measured in another order
        """update reco.exposures x set first_at = %(first_at)s
           from reco.recommendation_lists l
           where x.experiment_id = %(experiment)s and x.first_at > %(first_at)s
             and l.publication_id = %(publication)s and l.user_id = x.user_id""",
        parameters,
    )
    if exposed.rowcount:
        connection.execute("analyze reco.exposures")  # the planner must know before they are joined


@contextmanager
def _events(settings: Settings, lake: Lake, connection: psycopg.Connection, first: date, last: date) -> Iterator[None]:
    """The events of some days as `reco.measured_events`, which no other session ever sees."""
    connection.execute(
        """create unlogged table reco.measured_events
               (user_id text not null, item_id text not null, ts timestamptz not null, weight float8 not null)"""
    )
    bounds: list[datetime] = [night_end(first - _DAY).replace(tzinfo=None), night_end(last).replace(tzinfo=None)]
    with working_database(settings.profile.engine, settings.world) as database:
        batches = database.sql(
            f"""select {USER_ID}, {ITEM_ID}, {TS}::timestamptz as {TS}, {WEIGHT}::double as {WEIGHT}
                from {known_events(lake)} where {TS} >= ? and {TS} < ?""",
            params=bounds,
        ).to_arrow_reader(_BATCH_ROWS)
        copy_batches(
            connection,
            sql.Identifier("reco", "measured_events"),
            (batch.cast(_EVENTS) for batch in batches),
            _EVENTS.names,
        )
    connection.execute("analyze reco.measured_events")
    yield
    connection.execute("drop table reco.measured_events")


def _join(
    connection: psycopg.Connection, experiment: Experiment, served: _Served | None, first: date, last: date
) -> int:
    """Write the days' outcomes anew; returns how many. A user without a list was served what is popular."""
    connection.execute(
        "delete from reco.outcomes where experiment_id = %s and ds between %s and %s",
        [experiment.experiment_id, first, last],
    )
    return connection.execute(
        """with met as materialized (  -- or whole lists would be sorted with their users
               select (e.ts at time zone 'UTC')::date as ds, x.user_id, x.variant, e.weight,
                      e.item_id = any ((coalesce(c.item_ids, l.item_ids, p.item_ids))[1:%(k)s]) as hit
               from reco.measured_events e
               join reco.exposures x
                   on x.experiment_id = %(experiment)s and x.user_id = e.user_id and x.first_at <= e.ts
               left join reco.challenger_lists c
                   on c.publication_id = %(publication)s and c.user_id = x.user_id and x.variant = 'challenger'
               left join reco.recommendation_lists l
                   on l.publication_id = %(publication)s and l.user_id = x.user_id
               left join reco.popular_lists p on p.publication_id = %(publication)s)
           insert into reco.outcomes (experiment_id, ds, user_id, variant, events, hits, weight)
           select %(experiment)s, ds, user_id, variant, count(*),
                  case when %(publication)s::bigint is not null then count(*) filter (where hit) end, sum(weight)
           from met group by ds, user_id, variant""",
        {
            "experiment": experiment.experiment_id,
            "publication": None if served is None else served.publication_id,
            "k": experiment.k,
        },
    ).rowcount


def _summary(found: list[Result]) -> str:
    hits = next(result for result in found if result.metric == "hits")
    users = hits.champion_users + hits.challenger_users
    said = f"{hits.challenger_mean:.4f} hits a user against {hits.champion_mean:.4f} of the champion, {users:,} users"
    return f"{said}; SAMPLE RATIO MISMATCH: {hits.detail}" if hits.mismatch else said
