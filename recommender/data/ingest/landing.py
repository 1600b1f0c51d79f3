"""Into the lake: the night's tables, the quarantine, and a refused batch."""

from datetime import date
from pathlib import Path

import duckdb

from recommender.columns import ENTITY_KEYS, ITEM_ID, LANDED, RAW, REASON, REMOVED, TS, USER_ID
from recommender.data.ingest.changes import LEDGER, QUARANTINE, Window
from recommender.storage.duckdb_sql import count_rows
from recommender.storage.lake import Lake

_MERGED_AFTER, _MERGED_DOWN_TO = 60, 30
"""Once a table has more partitions than the first, its oldest are merged until the second is left."""
_FAILED = ("items", "users", "events", "batch")


def land(connection: duckdb.DuckDBPyConnection, lake: Lake, window: Window, facts: dict[str, int]) -> None:
    """Write what the working database holds. The events come last: a night has landed when they have."""
    ds = window.ds
    for table, key in ENTITY_KEYS.items():
        aside = count_rows(connection, f"rejected_{table}")
        lake.copy(connection, f"select {RAW}, {REASON}, {USER_ID} from rejected_{table}", f"quarantine_{table}", ds)
        rows = count_rows(connection, f"kept_{table}")
        query = f"select * from kept_{table} order by {key}"
        lake.copy(connection, query, table, ds, {"rows": rows, "quarantined": aside})
    lake.copy(connection, "select * from name_merges", "name_merges", ds)
    if window.newest:  # a later night compares with what this one took in, not with what it can't correct any more
        lake.copy(connection, "select * from ledger", LEDGER, ds)
    for night in window.nights:
        of_night = f"where {LANDED} = date '{night}'"
        aside = count_rows(connection, f"rejected_events {of_night}")
        query = f"select {RAW}, {REASON}, {USER_ID}, {ITEM_ID}, {TS} from rejected_events {of_night}"
        lake.copy(connection, query, QUARANTINE, night)
        rows = count_rows(connection, f"kept_events {of_night} and not {REMOVED}")
        removed = count_rows(connection, f"kept_events {of_night} and {REMOVED}")
        described = {"rows": rows, "quarantined": aside, **(facts if night == ds else {}), "removed": removed}
        lake.copy(connection, f"select * from kept_events {of_night}", "events", night, described)
    for night in lake.nights(LEDGER)[:-_MERGED_DOWN_TO]:
        lake.remove(LEDGER, night)  # only the last ones are ever compared with
    lake.remove_merged("events")  # by an earlier night: nobody reads it any more
    if len(lake.paths("events", date.max)) > _MERGED_AFTER:
        lake.merge("events", keep=_MERGED_DOWN_TO)


def keep_failed(connection: duckdb.DuckDBPyConnection, lake: Lake, ds: date, relations: dict[str, str]) -> Path:
    """Keep a refused batch for inspection; returns the lake's folder."""
    for table, relation in relations.items():
        lake.copy(connection, f"select * from {relation}", f"failed_{table}", ds)
    rejected = " union all by name ".join(
        f"select '{table}' as table_name, {RAW}, {REASON}, {USER_ID} from rejected_{table}"
        for table in ("items", "users", "events")
    )
    lake.copy(connection, rejected, "failed_quarantine", ds)
    return lake.root


def discard_failed(lake: Lake, ds: date) -> None:
    """A night that has landed has no refused batch any more."""
    for table in (*_FAILED, "quarantine"):
        lake.remove(f"failed_{table}", ds)
