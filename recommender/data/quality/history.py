"""Figures that compare the night's batch with the nights before it; `expectations/batch.yaml` says what they may be."""

from datetime import date, timedelta
from statistics import median

import duckdb

from recommender.columns import REASON, REMOVED, TS
from recommender.data.dataset import night_end
from recommender.data.events import known_events
from recommender.data.judgement import UNKNOWN_ITEM, UNKNOWN_USER
from recommender.errors import NotReadyError
from recommender.storage.duckdb_sql import count_rows
from recommender.storage.lake import Lake

_WEEKS = 4
"""A day is compared with the median of the same weekday in so many weeks before it."""
_CALM = 10
"""Events added to both sides of that comparison, so that a handful more or less is nothing unusual."""


def figures(connection: duckdb.DuckDBPyConnection, lake: Lake, ds: date) -> dict[str, float | None]:
    """What the batch of `ds` in the working database is, beside what the lake knew before.

    Reads `kept_events` and `rejected_events`, and `kept_users` and `kept_items` where they exist. A figure without a
    history, or without its table, is None: there is nothing to expect of it.

    Returns
    -------
    dict
        `volume_ratio`: events of the day `ds` / the median of the same weekday before. `newest_event_age_hours`: from
        the newest event known to the end of the night. `users_ratio`, `items_ratio`: rows tonight / rows of the night
        that landed last. `unknown_users_share`, `unknown_items_share`: of the batch's events, those put aside because
        they name nobody or nothing known.
    """
    tables = {row[0] for row in connection.execute("select table_name from information_schema.tables").fetchall()}
    found = _volume(connection, lake, ds)
    for table in ("users", "items"):
        found[f"{table}_ratio"] = _growth(connection, lake, table, ds) if f"kept_{table}" in tables else None
    met = count_rows(connection, f"kept_events where not {REMOVED}") + count_rows(connection, "rejected_events")
    for name, reason in (("unknown_users_share", UNKNOWN_USER), ("unknown_items_share", UNKNOWN_ITEM)):
        found[name] = count_rows(connection, f"rejected_events where {REASON} = '{reason}'") / max(1, met)
    return found


def _volume(connection: duckdb.DuckDBPyConnection, lake: Lake, ds: date) -> dict[str, float | None]:
    try:
        before = f"select {TS}, 1 as events from {known_events(lake, ds, without=ds)} union all"
    except NotReadyError:
        before = ""
    weekdays = [ds - timedelta(weeks=week) for week in range(_WEEKS + 1)]
    counts = ", ".join(f"sum(events) filter (where cast({TS} as date) = date '{day}')" for day in weekdays)
    [row] = connection.execute(
        f"""select min({TS}), max({TS}), {counts} from (
                {before} select {TS}, case when {REMOVED} then -1 else 1 end as events from kept_events)
            where {TS} < timestamp '{night_end(ds):%Y-%m-%d}'"""
    ).fetchall()
    if row[0] is None:
        return {"volume_ratio": None, "newest_event_age_hours": None}
    oldest, newest, tonight, *earlier = row
    usual = [events or 0 for events, day in zip(earlier, weekdays[1:], strict=True) if day > oldest.date()]
    age = night_end(ds).replace(tzinfo=None) - newest
    return {
        "volume_ratio": None if len(usual) < _WEEKS // 2 else ((tonight or 0) + _CALM) / (median(usual) + _CALM),
        "newest_event_age_hours": age.total_seconds() / 3600,
    }


def _growth(connection: duckdb.DuckDBPyConnection, lake: Lake, table: str, ds: date) -> float | None:
    before = [night for night in lake.nights(table) if night < ds]
    rows = lake.facts(table, before[-1]).get("rows") if before else None
    return count_rows(connection, f"kept_{table}") / rows if isinstance(rows, int) and rows else None
