"""The life of an experiment: started by a person, picked up by the next publication, stopped."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, LiteralString

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg.rows import class_row

from recommender.errors import ConfigError, NotReadyError
from recommender.experiments.assignment import in_challenger
from recommender.progress import Progress, quiet
from recommender.storage import registry
from recommender.storage.artifacts import verify

Exposure = Literal["assigned", "reported"]


@dataclass(frozen=True)
class Experiment:
    """One row of `reco.experiments`."""

    experiment_id: int
    name: str
    champion: str
    challenger: str
    share: float
    """Of the users, in the challenger's arm."""
    salt: str
    status: str
    exposure: Exposure
    k: int
    """A hit is an event on one of so many first items of a list."""
    started_ds: date
    """The night that was live when it was started; its first lists are of this night or a later one."""
    stopped_ds: date | None
    """The last day that counts."""
    created_at: datetime
    stopped_at: datetime | None
    reason: str | None

    def arm(self, user_ids: Iterable[str]) -> npt.NDArray[np.bool_]:
        """(users,) True for those who get the challenger's lists."""
        return in_challenger(user_ids, self.salt, self.share)


_COLUMNS = """experiment_id, name, champion, challenger, share, salt, status, exposure, k, started_ds, stopped_ds,
              created_at, stopped_at, reason"""


def start(
    connection: psycopg.Connection, name: str, challenger: str, share: float = 0.5, exposure: Exposure = "assigned"
) -> Experiment:
    """Start an experiment against today's champion; the next publication serves the challenger's lists.

    Raises
    ------
    ConfigError
        No such model, or it is the champion; the share leaves an arm empty; the name was used before.
    ArtifactError
        The challenger's artifact is missing or damaged.
    NotReadyError
        Another experiment runs, or nothing has been published yet.
    """
    if not name.strip():
        raise ConfigError("an experiment needs a name")
    if not 0 < share < 1:
        raise ConfigError(f"--share {share:g} leaves an arm empty: it must be above 0 and below 1")
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('reco.experiments'))")
        registry.lock_champion(connection)
        other = running(connection)
        if other is not None:
            raise NotReadyError(f"experiment {other.name} runs: `recommender experiment stop {other.name}` stops it")
        if find(connection, name) is not None:
            raise ConfigError(
                f"an experiment {name!r} was run before: choose another name, it decides who is in which arm"
            )
        version, champion = registry.known(connection, challenger), registry.champion(connection)
        live = _live_ds(connection)
        if champion is None or live is None:
            raise NotReadyError("nothing is published that an experiment could run beside: run a night first")
        if version.model_version == champion.model_version:
            raise ConfigError(f"{challenger} is the champion: choose another model, `recommender models` lists them")
        verify(*version.served)
        connection.execute(
            """insert into reco.experiments (name, champion, challenger, share, salt, status, started_ds, exposure)
               values (%s, %s, %s, %s, %s, 'running', %s, %s)""",
            [name, champion.model_version, challenger, share, name, live, exposure],
        )
    return known(connection, name)


def stop(connection: psycopg.Connection, experiment_id: int, reason: str, ds: date | None = None) -> None:
    """End an experiment: from this instant everybody gets the champion's lists. One that was stopped stays as it is.

    Parameters
    ----------
    ds
        The last day that counts; by default the live publication's, as the day that is going on would count in part.
    """
    connection.execute(
        """update reco.experiments
           set status = 'stopped', stopped_at = now(), reason = %s, stopped_ds = greatest(started_ds, %s)
           where experiment_id = %s and status = 'running'""",
        [reason, ds or _live_ds(connection), experiment_id],
    )


def current(connection: psycopg.Connection, champion: str, ds: date, progress: Progress = quiet) -> Experiment | None:
    """The experiment that the publication of `ds` is to serve beside this champion.

    One against a champion that has been replaced is stopped: what it compared is not what serves any more.
    """
    found = running(connection)
    if found is None or ds < found.started_ds:
        return None
    if found.champion != champion:
        now = "its challenger is" if found.challenger == champion else f"{champion} is"
        reason = f"the champion changed: {now} champion now, in place of {found.champion}"
        stop(connection, found.experiment_id, reason, ds)
        progress(f"experiment {found.name} stopped: {reason}")
        return None
    return found


def running(connection: psycopg.Connection) -> Experiment | None:
    """The one that runs."""
    return next(iter(_select(connection, "where status = 'running'")), None)


def find(connection: psycopg.Connection, name: str) -> Experiment | None:
    return next(iter(_select(connection, "where name = %s", name)), None)


def known(connection: psycopg.Connection, name: str) -> Experiment:
    """The experiment of this name.

    Raises
    ------
    ConfigError
        There is none.
    """
    found = find(connection, name)
    if found is None:
        raise ConfigError(f"no experiment is called {name!r}: `recommender experiment list` lists them")
    return found


def history(connection: psycopg.Connection) -> list[Experiment]:
    """Every experiment, the newest first."""
    return _select(connection, "order by experiment_id desc")


def counting(connection: psycopg.Connection, ds: date) -> list[Experiment]:
    """Experiments in which the day `ds` counts, the oldest first."""
    return _select(
        connection,
        "where started_ds < %s and (status = 'running' or stopped_ds >= %s) order by experiment_id",
        ds,
        ds,
    )


def _select(connection: psycopg.Connection, which: LiteralString, *parameters: object) -> list[Experiment]:
    with connection.cursor(row_factory=class_row(Experiment)) as cursor:
        return cursor.execute(f"select {_COLUMNS} from reco.experiments {which}", parameters).fetchall()


def _live_ds(connection: psycopg.Connection) -> date | None:
    row = connection.execute("select ds from reco.publications where status = 'live'").fetchone()
    return None if row is None else row[0]
