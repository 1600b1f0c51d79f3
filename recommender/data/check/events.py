"""Figures of the usable events: who, what, when, how unevenly, and what a night's split would make of them."""

import math
from datetime import date, datetime
from typing import Any

import duckdb

from recommender.columns import ITEM_ID, USER_ID
from recommender.config.profile import Profile
from recommender.data.check.report import EventFigures, Orphans, SplitFigures, Spread, TableFigures
from recommender.data.dataset import night_end
from recommender.data.judgement import UNKNOWN_ITEM, UNKNOWN_USER
from recommender.data.split import Split

_EXAMPLES = 3


def measure_events(
    connection: duckdb.DuckDBPyConnection, profile: Profile, table: TableFigures, ds: date | None
) -> EventFigures | None:
    """Figures over `checked_events` and `twins`; None when no event is usable.

    Without a `ds` the profile's start date is taken where the events span it, else their last day.
    """
    connection.execute(  # duplicates count once
        """create or replace temp view counted as
           select user_id, item_id, ts, 1 as n from checked_events where reason is null
           union all select user_id, item_id, ts, -extra from twins"""
    )
    days: list[tuple[date, int]] = [
        (day, int(n))
        for day, n in connection.execute(
            "select cast(ts as date) as day, sum(n) from counted group by day order by day"
        ).fetchall()
    ]
    if not days:
        return None
    first, last = _row(connection, "select min(ts), max(ts) from checked_events where reason is null")
    start = profile.schedule.start_date
    night = ds or (start if days[0][0] <= start <= days[-1][0] else days[-1][0])
    users, items = _spread(connection, USER_ID), _spread(connection, ITEM_ID)
    top_1, top_10, gini = _unevenness(connection)
    rows, rejected = _night(connection, night)
    unparsable = table.rejected.get("unparsable", 0)
    total = sum(n for _, n in days)
    return EventFigures(
        events=total,
        users=users,
        items=items,
        first=first,
        last=last,
        per_day=tuple(days),
        density=total / (users.ids * items.ids),
        top_1_percent_share=top_1,
        top_10_percent_share=top_10,
        gini=gini,
        unknown_items=_orphans(connection, UNKNOWN_ITEM, ITEM_ID, examples=True),
        unknown_users=_orphans(connection, UNKNOWN_USER, USER_ID, examples=False),
        beyond_ds=sum(n for day, n in days if day > night),
        ds_rows=rows + unparsable,
        ds_rejected=rejected + unparsable,
        split=_split(connection, Split.of(profile, night)),
    )


def _spread(connection: duckdb.DuckDBPyConnection, key: str) -> Spread:
    connection.execute(
        f"create or replace temp table events_by_{key} as select {key}, sum(n) as n from counted group by {key}"
    )
    ids, median, p90, most = _row(
        connection, f"select count(*), median(n), quantile_cont(n, 0.9), max(n) from events_by_{key}"
    )
    return Spread(int(ids), float(median), float(p90), int(most))


def _unevenness(connection: duckdb.DuckDBPyConnection) -> tuple[float, float, float]:
    """Shares of the top 1% and 10% of the items, and the Gini coefficient."""
    items, total, weighted = _row(
        connection,
        """select count(*), sum(n), sum(n * position)
           from (select n, row_number() over (order by n) as position from events_by_item_id)""",
    )
    items, total = int(items), float(total)
    shares = []
    for percent in (1, 10):
        (top,) = _row(
            connection,
            "select sum(n) from (select n from events_by_item_id order by n desc limit ?)",
            [math.ceil(items * percent / 100)],
        )
        shares.append(float(top) / total)
    gini = 2 * float(weighted) / (items * total) - (items + 1) / items
    return shares[0], shares[1], max(0.0, gini)


def _orphans(connection: duckdb.DuckDBPyConnection, reason: str, key: str, *, examples: bool) -> Orphans:
    rows, ids = _row(
        connection, f"select count(*), count(distinct {key}) from checked_events where reason = ?", [reason]
    )
    found = (
        connection.execute(
            f"select {key} from checked_events where reason = ? group by {key} order by count(*) desc, {key} limit ?",
            [reason, _EXAMPLES],
        ).fetchall()
        if examples and rows
        else []
    )
    return Orphans(int(rows), int(ids), tuple(name for (name,) in found))


def _night(connection: duckdb.DuckDBPyConnection, night: date) -> tuple[int, int]:
    """Rows a first night `night` would read, and those among them it would put aside."""
    end = _naive(night)
    rows, rejected = _row(
        connection,
        "select count(*), count(reason) from checked_events where ts < ? or ts is null",
        [end],
    )
    (twins,) = _row(connection, "select coalesce(sum(extra), 0) from twins where ts < ?", [end])
    return int(rows), int(rejected) + int(twins)


def _split(connection: duckdb.DuckDBPyConnection, split: Split) -> SplitFigures:
    trained, judged, end = (_naive(night) for night in (split.trained_to, split.judged_at, split.ds))
    training, validation, holdout = _row(
        connection,
        """select sum(n) filter (where ts < $trained), sum(n) filter (where ts >= $trained and ts < $judged),
                  sum(n) filter (where ts >= $judged and ts < $end) from counted""",
        {"trained": trained, "judged": judged, "end": end},
    )
    users, known = _row(
        connection,
        """select count(*), count(*) filter (where oldest < $judged)
           from (select min(ts) as oldest, bool_or(ts >= $judged) as held from checked_events
                 where reason is null and ts < $end group by user_id) where held""",
        {"judged": judged, "end": end},
    )
    return SplitFigures(
        trained_to=split.trained_to,
        judged_at=split.judged_at,
        ds=split.ds,
        training_events=int(training or 0),
        validation_events=int(validation or 0),
        holdout_events=int(holdout or 0),
        holdout_users=int(users),
        known_holdout_users=int(known),
    )


def _naive(night: date) -> datetime:
    """The end of a night as the working database writes times: UTC without saying so."""
    return night_end(night).replace(tzinfo=None)


def _row(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: list[object] | dict[str, object] | None = None
) -> tuple[Any, ...]:
    return connection.execute(query, parameters or []).fetchone() or ()
