"""Publications and events by hand: the champion recommends items named `champion-…`, the challenger `challenger-…`."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
from psycopg import sql

from recommender.config.settings import Settings
from recommender.experiments import life
from recommender.experiments.life import Experiment
from recommender.storage import registry
from recommender.storage.artifacts import checksum, writing
from recommender.storage.lake import Lake
from recommender.storage.postgres import connect

NIGHT = date(2026, 3, 1)
"""The night that is live when experiments are started."""
CHAMPION, CHALLENGER = "ease-2026-02-28", "ials-2026-03-01"
USERS = [f"user-{n}" for n in range(40)]
K = 20


def after(days: int) -> date:
    return NIGHT + timedelta(days=days)


def at(ds: date, hour: int = 12) -> datetime:
    """An hour of a day, UTC."""
    return datetime(ds.year, ds.month, ds.day, hour)


def register(settings: Settings, version: str, status: str = "candidate") -> None:
    folder = settings.artifacts / version
    with writing(folder) as scratch:
        (scratch / "weights").write_text(version)
    with connect(settings) as connection:
        registry.register(connection, version, "ease", NIGHT, folder, checksum(folder), {}, {}, status=status)


def start(
    settings: Settings, name: str = "ials", share: float = 0.5, exposure: life.Exposure = "assigned"
) -> Experiment:
    with connect(settings) as connection:
        return life.start(connection, name, CHALLENGER, share, exposure)


def items(variant: str, count: int = 25) -> list[str]:
    """A list that is longer than what counts as a hit."""
    return [f"{variant}-{n}" for n in range(count)]


def publication(
    settings: Settings, ds: date, experiment: Experiment | None = None, users: Iterable[str] = tuple(USERS)
) -> int:
    """Make a publication live; while an experiment runs its arm has lists of the challenger too."""
    listed = list(users)
    with connect(settings) as connection:
        connection.execute("update reco.publications set status = 'retired' where status = 'live'")
        row = connection.execute(
            """insert into reco.publications (ds, model_version, status, fingerprint, experiment_id, activated_at)
               values (%s, %s, 'live', '', %s, now()) returning publication_id""",
            [ds, CHAMPION, experiment and experiment.experiment_id],
        ).fetchone()
        assert row
        publication_id = int(row[0])
        chosen = experiment.arm(listed) if experiment else [False] * len(listed)
        for table, variant, whose in (
            ("recommendation_lists", "champion", listed),
            ("challenger_lists", "challenger", [user for user, taken in zip(listed, chosen, strict=True) if taken]),
        ):
            connection.execute(
                sql.SQL("create table {} partition of {} for values in ({})").format(
                    sql.Identifier("reco", f"{table}_{publication_id}"), sql.Identifier("reco", table), publication_id
                )
            )
            connection.execute(
                sql.SQL(
                    """insert into {} (publication_id, user_id, source, item_ids, scores)
                       select %s, user_id, 'personal', %s::text[], array_fill(1::real, array[25])
                       from unnest(%s::text[]) as user_id"""
                ).format(sql.Identifier("reco", table)),
                [publication_id, items(variant), whose],
            )
        connection.execute(
            "insert into reco.popular_lists values (%s, %s, array_fill(1::real, array[25]))",
            [publication_id, items("popular")],
        )
    return publication_id


def happened(
    settings: Settings, landed: date, events: Iterable[tuple[str, str, datetime]], removed: Iterable[Any] = ()
) -> None:
    """Land a night whose events are these; `removed` are earlier ones that are gone from the source."""
    rows = [(*event, False) for event in events] + [(*event, True) for event in removed]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "ts", "removed"])
    frame = frame.assign(
        event_type="play", weight=2.0, landed=landed, ts=pd.to_datetime(frame.ts).astype("datetime64[us]")
    )
    Lake(settings.lake).write("events", landed, frame, {"removed": len(list(removed))})


def ask(settings: Settings, query: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
    with connect(settings) as connection:
        return connection.execute(query, parameters).fetchall()


def by_arm(experiment: Experiment, users: Iterable[str] = tuple(USERS)) -> Mapping[str, list[str]]:
    listed = list(users)
    chosen = dict(zip(listed, experiment.arm(listed), strict=True))
    return {
        "challenger": [user for user in listed if chosen[user]],
        "champion": [user for user in listed if not chosen[user]],
    }
