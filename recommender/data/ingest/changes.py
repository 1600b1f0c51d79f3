"""What a night changes: the source's events judged row by row and compared with what the lake knows.

A source may deliver its whole history every night. One pass over it counts and digests each day's rows; only days
whose digest differs from the last night's, in either direction, are looked at row by row. So events that come late,
are corrected or vanish are found on whatever day they lie, at the cost of a scan.

Made in the working database: `kept_events` (rows for the lake's log of changes), `rejected_events` (rows for the
quarantine), `ledger` (the digests).
"""

from dataclasses import dataclass
from datetime import date, timedelta

import duckdb

from recommender.columns import ITEM_ID, LANDED, RAW, REASON, REMOVED, TS, USER_ID, WEIGHT
from recommender.config.profile import Profile
from recommender.data import judgement
from recommender.data.dataset import night_end
from recommender.data.events import EVENT_IDENTITY, EVENT_KEY, known_events
from recommender.data.sources import collect_unparsable
from recommender.storage.duckdb_sql import column_types, count_rows, quoted
from recommender.storage.lake import Lake, parquet

LEDGER = "events_ledger"
QUARANTINE = "quarantine_events"
_UNKNOWN = f"('{judgement.UNKNOWN_ITEM}', '{judgement.UNKNOWN_USER}')"
_DAY = f"cast({TS} as date)"
_REJECTED = f"{RAW}, {REASON}, {USER_ID}, {ITEM_ID}, {TS}"


@dataclass(frozen=True)
class Window:
    """Which nights a run of ingest lands."""

    ds: date
    first: date
    """The oldest night that lands: before `ds` where nights were missed."""
    bootstrap: bool
    newest: bool
    """No later night has landed: what is gone from the source can be taken as removed."""
    keeps: bool = False
    """The night landed before, and what it brought stays: later nights build on it, or the source may not have it
    any more."""

    @property
    def takes_all(self) -> bool:
        """There is nothing to compare with."""
        return self.bootstrap and not self.keeps

    @property
    def nights(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.ds - self.first).days + 1)]

    def landing(self, day: str) -> str:
        """The night a row of this day lands in: its own, or `ds` where that is over."""
        if self.bootstrap or self.first == self.ds:
            return f"date '{self.ds}'"
        return f"case when {day} between date '{self.first}' and date '{self.ds}' then {day} else date '{self.ds}' end"


def find_changes(connection: duckdb.DuckDBPyConnection, profile: Profile, lake: Lake, window: Window) -> None:
    """Make `kept_events`, `rejected_events` and `ledger` from view `deliverable_events` of the working database.

    Tables `known_items` and `known_users` must be there for sources that the profile has.
    """
    end = f"timestamp '{night_end(window.ds):%Y-%m-%d}'"
    columns = ", ".join(judgement.event_columns(profile))
    time = f"{TS} < {end}"
    if not window.takes_all:
        _make_ledger(connection, f"(select {columns} from deliverable_events)", time)
        _find_changed_days(connection, lake, window)
        time += f" and {_DAY} in (from changed_days)"
    undated = f"{TS} is null or {TS} >= '{judgement.LATEST_EVENT}'"
    slice_ = f"(select {columns}, {RAW} from deliverable_events where {time} or {undated})"
    names = _names(connection, slice_)
    connection.execute(
        f"""create or replace table staged as
            select {names}, {judgement.twin_hash()} as twin, {REASON},
                   case when {REASON} is not null then {RAW} end as {RAW}
            from (select *, {judgement.event_reason(profile)} as {REASON} from {slice_})"""
    )
    _separate_twins(connection, slice_, names)
    if window.takes_all:
        connection.execute(
            f"""create or replace view kept_events as
                select *, date '{window.ds}' as {LANDED}, false as {REMOVED} from valid"""
        )
        _make_ledger(connection, "staged", time)
    else:
        _compare(connection, profile, lake, window)
    _collect_rejects(connection, lake, window)


def _names(connection: duckdb.DuckDBPyConnection, relation: str) -> str:
    return ", ".join(quoted(name) for name in column_types(connection, relation) if name != RAW)


def _make_ledger(connection: duckdb.DuckDBPyConnection, relation: str, where: str) -> None:
    digest = f"(({judgement.twin_hash()}) >> 32) + (hash({WEIGHT}) >> 32)"
    connection.execute(
        f"""create or replace table ledger as
            select {_DAY} as day, count(*) as rows, cast(sum({digest}) as bigint) as digest
            from {relation} where {where} group by day order by day"""
    )


def _find_changed_days(connection: duckdb.DuckDBPyConnection, lake: Lake, window: Window) -> None:
    """Days on which the source says something else than it did the night before, or that are read again."""
    before = [night for night in lake.nights(LEDGER) if night < window.first]
    if before:
        connection.execute(f"create or replace table ledger_before as from {parquet([lake.path(LEDGER, before[-1])])}")
    else:  # nothing to compare with: look at every day
        connection.execute(
            f"""create or replace table ledger_before as
                select distinct {_DAY} as day, -1 as rows, 0 as digest from {known_events(lake)}"""
        )
    connection.execute(
        """create or replace table changed_days as
            select coalesce(tonight.day, earlier.day) as day
            from ledger as tonight full join ledger_before as earlier using (day)
            where (tonight.rows, tonight.digest) is distinct from (earlier.rows, earlier.digest)"""
    )
    _find_released(connection, lake, window)
    connection.execute(f"insert into changed_days select distinct {_DAY} from released")


def _find_released(connection: duckdb.DuckDBPyConnection, lake: Lake, window: Window) -> None:
    """Table `released`: quarantined rows whose item and user are known by now, and that have not come in yet."""
    tables = {row[0] for row in connection.execute("select table_name from duckdb_tables()").fetchall()}
    known = [
        f"semi join {table} using ({key})"
        for table, key in (("known_items", ITEM_ID), ("known_users", USER_ID))
        if table in tables
    ]
    connection.execute(
        f"""create or replace table released as
            select {USER_ID}, {ITEM_ID}, {TS} from {_quarantined(lake, window)} {" ".join(known)}
            where {REASON} in {_UNKNOWN}"""
    )
    if count_rows(connection, "released"):
        connection.execute(
            f"""delete from released where ({USER_ID}, {ITEM_ID}, {TS}) in (
                    select ({USER_ID}, {ITEM_ID}, {TS}) from {known_events(lake, without=window.ds)})"""
        )


def _separate_twins(connection: duckdb.DuckDBPyConnection, slice_: str, names: str) -> None:
    """View `valid`: each good event once, the weightiest of duplicates; table `twins` holds the duplicates' rows."""
    connection.execute(
        f"""create or replace table twin_hashes as
            select twin from staged where {REASON} is null group by twin having count(*) > 1"""
    )
    none = count_rows(connection, "twin_hashes") == 0
    order = f"partition by {', '.join(EVENT_KEY)} order by {WEIGHT} desc, {RAW}"
    # what was read first had no use for the source's own words; only now some of it has
    connection.execute(
        f"""create or replace table twins as
            select *, row_number() over ({order}) as copy
            from (select {names}, {RAW} from {slice_} {"limit 0" if none else ""}) as source
            semi join (select * from staged where {REASON} is null and twin in (from twin_hashes)) as twin
                using ({", ".join(EVENT_KEY)})"""
    )
    single = f"select {names} from staged where {REASON} is null"
    connection.execute(
        f"create or replace view valid as {single}"
        if none
        else f"""create or replace view valid as {single} and twin not in (from twin_hashes)
                 union all select {names} from twins where copy = 1"""
    )


def _compare(connection: duckdb.DuckDBPyConnection, profile: Profile, lake: Lake, window: Window) -> None:
    """Rows the lake doesn't know are added, rows the source no longer has are removed."""
    identity, key = ", ".join(EVENT_IDENTITY), ", ".join(EVENT_KEY)
    own = f"{parquet(lake.files('events', window.ds))} where {LANDED} = date '{window.ds}' and {window.keeps}"
    connection.execute(f"create or replace table own as select * from {own}")
    same, but = identity, ""
    if not window.newest:  # an older night corrects nothing: it takes what no night has in any form
        same, but = key, f"anti join (from own anti join valid using ({identity}) where not {REMOVED}) using ({key})"
    connection.execute(
        f"""create or replace table existing as
            select * from {known_events(lake, without=window.ds)} where {_DAY} in (from changed_days)"""
    )
    connection.execute(
        f"""create or replace table kept_events as
            select *, {window.landing(_DAY)} as {LANDED}, false as {REMOVED}
            from valid anti join existing using ({same}) {but}"""
    )
    if window.newest:
        # what names an item that is withdrawn by now is still there, though it would not be taken in today
        told = "" if profile.events.delivery == "full" else f"semi join valid using ({key})"
        present = f"(select {identity} from valid union all select {identity} from staged where {REASON} in {_UNKNOWN})"
        connection.execute(
            f"""insert into kept_events by name
                select {identity}, date '{window.ds}' as {LANDED}, true as {REMOVED}
                from existing anti join {present} as present using ({identity}) {told}"""
        )
    if window.keeps:
        known = column_types(connection, "own")
        columns = ", ".join(quoted(name) for name in column_types(connection, "kept_events") if name in known)
        connection.execute(
            f"""insert into kept_events by name
                select {columns} from own anti join kept_events using ({key}, {REMOVED})"""
        )


def _collect_rejects(connection: duckdb.DuckDBPyConnection, lake: Lake, window: Window) -> None:
    """Table `rejected_events`: each bad row in the first night that meets it."""
    collect_unparsable(connection, "events")
    duplicates = _REJECTED.replace(REASON, f"'{judgement.DUPLICATE}' as {REASON}")
    connection.execute(
        f"""create or replace table rejected_events as
            select *, {window.landing(_DAY)} as {LANDED} from (
                select {_REJECTED} from staged where {REASON} is not null
                union all by name select {duplicates} from twins where copy > 1
                union all by name select {RAW}, {REASON} from events_unparsable)"""
    )
    if window.takes_all:
        return
    # an item that was withdrawn is unknown now, but its events were good when they came: they stay
    connection.execute(
        f"""create or replace table rejected_events as
            with fresh as (
                select * from rejected_events where {REASON} not in {_UNKNOWN}
                union all
                select * from rejected_events anti join (from existing union all by name from own)
                    using ({USER_ID}, {ITEM_ID}, {TS})
                where {REASON} in {_UNKNOWN}),
            met as (select {RAW}, count(*) as times from {_quarantined(lake, window)} group by {RAW}),
            counted as (select *, row_number() over (partition by {RAW} order by {LANDED}) as time from fresh)
            select counted.* exclude (time) from counted left join met using ({RAW})
            where time > coalesce(times, 0)"""
    )
    if window.keeps and lake.path(QUARANTINE, window.ds).is_file():
        connection.execute(
            f"""insert into rejected_events by name
                select {_REJECTED}, date '{window.ds}' as {LANDED}
                from {parquet([lake.path(QUARANTINE, window.ds)])}"""
        )


def _quarantined(lake: Lake, window: Window) -> str:
    """What nights put aside that this run does not land anew."""
    replaced = [] if window.keeps else window.nights
    files = [lake.path(QUARANTINE, night) for night in lake.nights(QUARANTINE) if night not in replaced]
    if files:
        return parquet(files)
    columns = (f"null::varchar as {name}" for name in (RAW, REASON, USER_ID, ITEM_ID))
    return f"(select {', '.join(columns)}, null::timestamp as {TS} where false)"
