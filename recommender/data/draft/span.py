"""When the events are, and which nights fit them."""

from dataclasses import dataclass
from datetime import date, timedelta

import duckdb

from recommender.config.profile import Evaluation
from recommender.config.training import Training
from recommender.data.draft.columns import MOST_ROWS
from recommender.data.draft.files import reader
from recommender.data.draft.roles import Events
from recommender.data.judgement import OLDEST_EVENT
from recommender.data.times import EPOCH_UNITS
from recommender.storage.duckdb_sql import literal, quoted

_NIGHTS = 30
"""Nights to run before the data ends."""
_STILL_RUNNING = timedelta(days=7)
"""Data this fresh is going to go on."""
HOLDOUT_DAYS = Evaluation().holdout_days
VALIDATION_DAYS = Training().validation_days
_VALIDATIONS = (VALIDATION_DAYS, 28, 56, 112)
"""Days for early stopping, the first choice that has events in it."""
_ENOUGH = 0.5
"""Of the usual number of events must lie in the days that a model is judged on."""


@dataclass(frozen=True)
class Span:
    """First and last day with events, and the nights and the split that they allow."""

    first: date
    last: date
    start: date
    end: date | None
    holdout_days: int = HOLDOUT_DAYS
    validation_days: int = VALIDATION_DAYS


def span_of(connection: duckdb.DuckDBPyConnection, events: Events, today: date) -> Span:
    """Look at all of the events' times; those that no event can have don't count."""
    table = events.seen.table
    relation = table.relation if table.rows < MOST_ROWS else reader(table)
    days = connection.execute(
        f"select day, count(*) from (select cast({_time(events)} as date) as day from {relation}) "
        "where day between cast(? as date) and ? group by day order by day",
        [OLDEST_EVENT, today],
    ).fetchall()
    return nights_for(dict(days) or {today: 1}, today)


def nights_for(per_day: dict[date, int], today: date) -> Span:
    """The earliest of the last nights that has enough to be judged on, and the split that works for it."""
    first, last = min(per_day), max(per_day)
    end = None if today - last <= _STILL_RUNNING else last
    days = (last - first).days + 1
    if days < 2 * (HOLDOUT_DAYS + VALIDATION_DAYS):
        holdout = max(1, days // 4)
        return Span(first, last, last, end, holdout, max(1, holdout // 2))

    def between(after: date, to: date) -> int:
        return sum(count for day, count in per_day.items() if after < day <= to)

    holdout_of = {
        night: between(night - timedelta(days=HOLDOUT_DAYS), night)
        for night in (last - timedelta(days=back) for back in range(min(_NIGHTS, days // 4), -1, -1))
    }
    usual = sum(per_day.values()) / days * HOLDOUT_DAYS
    enough = [night for night, count in holdout_of.items() if count >= _ENOUGH * usual]
    start = enough[0] if enough else max(holdout_of, key=lambda night: holdout_of[night])
    judged_at = start - timedelta(days=HOLDOUT_DAYS)
    fitting = (n for n in _VALIDATIONS if between(judged_at - timedelta(days=n), judged_at))
    return Span(first, last, start, end, HOLDOUT_DAYS, next(fitting, VALIDATION_DAYS))


def _time(events: Events) -> str:
    """The events' time in SQL."""
    columns = [quoted(name) for name in events.when.columns]
    form = events.when.form
    if form is None:
        year, month, day = (f"try_cast({column} as bigint)" for column in columns)
        text = f"printf('%04d-%02d-%02d', {year}, {month}, {day})"
        return f"try_cast({text} as timestamp)"
    if form.format is not None:
        return f"try_strptime(cast({columns[0]} as varchar), {literal(form.format)})"
    if form.unit == "iso":
        return f"(try_cast(cast({columns[0]} as varchar) as timestamptz) at time zone 'UTC')"
    seconds = f"try_cast({columns[0]} as double) / {EPOCH_UNITS[form.unit]}"
    return f"case when {seconds} between 0 and 4102444800 then make_timestamp(cast({seconds} * 1000000 as bigint)) end"
