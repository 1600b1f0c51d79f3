"""The night's batch: read, judged row by row, validated as a whole, and landed in the lake all at once.

rows met = rows kept + rows quarantined, for every table and every night.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta

import duckdb

from recommender.columns import ENTITY_KEYS, LANDED, REASON, REMOVED, TS, USER_ID
from recommender.config.settings import Settings
from recommender.config.source import Source
from recommender.data.dataset import night_end
from recommender.data.erasures import forget_mentions, mark_erased
from recommender.data.events import EVENT_KEY, known_events
from recommender.data.ingest.changes import Window, find_changes
from recommender.data.ingest.entities import entities_of_events, judge_entities
from recommender.data.ingest.landing import discard_failed, keep_failed, land
from recommender.data.ingest.result import BOOTSTRAP, COVERED, NIGHT, IngestResult
from recommender.data.ingest.schema import check_schema
from recommender.data.names import canonicalise
from recommender.data.quality import CheckResult, validate
from recommender.data.quality.history import figures
from recommender.data.session import working_database
from recommender.data.sources import open_source, out_of_range
from recommender.data.synthetic import ensure_world, is_somebodys
from recommender.errors import DataQualityError, SourceError
from recommender.progress import Progress, quiet
from recommender.storage.duckdb_sql import count_rows, one_line
from recommender.storage.lake import Lake, parquet
from recommender.storage.world_lock import landing_lock

__all__ = ["IngestResult", "ingest"]


def ingest(settings: Settings, ds: date, progress: Progress = quiet) -> IngestResult:
    """Take in the night `ds`: everything up to its end when the lake is empty, else what is new since the night before.

    Nights between the last landed one and `ds` that never ran are landed too, so that a night always knows
    everything before its end. All tables land or none does.

    Raises
    ------
    SourceError
        A source is missing or unreadable, or a first night finds no event.
    DataQualityError
        The batch failed its expectations; it is kept under `failed_*` in the lake.
    """
    if settings.profile.synthetic is not None and not is_somebodys(settings.data):
        ensure_world(settings.profile.synthetic, settings.data, progress)
    lake = Lake(settings.lake)
    with (
        landing_lock(settings.world, progress),
        working_database(settings.profile.engine, settings.world) as connection,
    ):
        landed = lake.nights("events")
        if landed and ds < landed[0]:
            return _covered(connection, settings, ds)
        before = [night for night in landed if night < ds]
        first = before[-1] + timedelta(days=1) if before else ds
        newest = not any(night > ds for night in landed)
        keeps = ds in landed and (not newest or settings.profile.events.delivery == "increment")
        window = Window(ds, first=min(first, ds), bootstrap=not before, newest=newest, keeps=keeps)
        return _ingest(connection, settings, lake, window, progress)


def _ingest(
    connection: duckdb.DuckDBPyConnection, settings: Settings, lake: Lake, window: Window, progress: Progress
) -> IngestResult:
    profile, ds = settings.profile, window.ds
    erased = _open_sources(connection, settings, window, progress)
    missing: dict[str, int] = {}
    for table, source in (("items", profile.items), ("users", profile.users), ("events", profile.events)):
        if source is None:
            continue
        progress(f"reading {table} up to the end of {ds}" if table == "events" else f"reading {table}")
        with _reading(settings, source):
            if table == "events":
                find_changes(connection, profile, lake, window)
            else:
                judge_entities(connection, table, source)
                connection.execute(
                    f"create or replace table known_{table} as select {ENTITY_KEYS[table]} from kept_{table}"
                )
            outside = out_of_range(connection, profile, table)
        missing |= {f"{table}.{column}": count for column, count in outside.items()}
    known = {table: lake.paths(table, ds)[-1:] for table in ENTITY_KEYS}
    for table, source in (("items", profile.items), ("users", profile.users)):
        if source is None:
            entities_of_events(connection, table, parquet(known[table]) if known[table] else None)
    for rejected in ("rejected_events", "rejected_users"):
        forget_mentions(connection, settings, rejected)
    counts = _counts(connection, lake, window)
    if window.bootstrap and counts["kept"] == 0:
        raise SourceError(
            f"no usable event up to {ds} in {profile.events.place}: {counts['rejected']:,} rows were unusable; "
            "is ds before the data begins? (`recommender check` tells what the source holds)"
        )
    notes = check_schema(connection, lake, window.ds)
    names = canonicalise(connection, settings, lake, ds)
    progress(f"checking {counts['kept']:,} events")
    checks = _validate(connection, settings, lake, window, counts)
    progress("landing the night")
    land(connection, lake, window, {name: counts[name] for name in ("late", "corrected", "removed")})
    discard_failed(lake, ds)
    return IngestResult(
        ds=ds,
        kind=BOOTSTRAP if window.bootstrap else NIGHT,
        events=counts["kept"],
        users=count_rows(connection, "kept_users"),
        items=count_rows(connection, "kept_items"),
        quarantined=_reasons(connection),
        taken_as_missing=missing,
        filled_nights=len(window.nights) - 1,
        late=counts["late"],
        corrected=counts["corrected"],
        removed=counts["removed"] - counts["corrected"],
        erased=erased,
        merged_names=names.applied,
        notes=notes,
        checks=tuple(checks),
    )


def _sources(settings: Settings) -> list[str]:
    return [table for table in ("items", "users", "events") if getattr(settings.profile, table) is not None]


def _open_sources(connection: duckdb.DuckDBPyConnection, settings: Settings, window: Window, progress: Progress) -> int:
    """Views `deliverable_<table>`: the sources without the rows of erased users; returns how many those are."""
    tables = _sources(settings)
    for table in tables:
        open_source(connection, settings.profile, table, settings.data)
    with_users = [table for table in tables if table != "items"]
    ids = " union all ".join(f"select {USER_ID} from {table}" for table in with_users)
    rows = 0
    some = mark_erased(connection, settings, f"({ids})") > 0
    for table in tables:
        keep = ""
        if some and table in with_users:
            keep = f" where {USER_ID} is null or {USER_ID} not in (from erased_users)"
            gone = f"{USER_ID} in (from erased_users)"
            if table == "events":
                gone += f" and ({TS} is null or {TS} < timestamp '{night_end(window.ds):%Y-%m-%d}')"
            rows += count_rows(connection, f"{table} where {gone}")
        connection.execute(f"create or replace view deliverable_{table} as select * from {table}{keep}")
    if rows:
        progress(f"{rows:,} rows of erased users left out")
    return rows


@contextmanager
def _reading(settings: Settings, source: Source) -> Iterator[None]:
    """What DuckDB says of a source that breaks while it is read, as one line that names it."""
    try:
        yield
    except duckdb.Error as error:
        place = settings.data / source.path if source.path and "://" not in source.path else source.place
        raise SourceError(f"cannot read {place}: {one_line(error)}") from None


def _counts(connection: duckdb.DuckDBPyConnection, lake: Lake, window: Window) -> dict[str, int]:
    """How many events are new, late, corrected, gone and put aside."""
    counts = dict.fromkeys(("late", "corrected", "removed", "known"), 0)
    counts["kept"] = count_rows(connection, f"kept_events where not {REMOVED}")
    counts["rejected"] = count_rows(connection, "rejected_events")
    counts["undatable"] = count_rows(connection, f"rejected_events where {REASON} = 'unreadable {TS}'")
    if not window.bootstrap:
        new, gone = f"(select * from kept_events where not {REMOVED})", f"(select * from kept_events where {REMOVED})"
        key = ", ".join(EVENT_KEY)
        late = f"{new} anti join {gone} using ({key}) where {TS} < date '{window.first}'"
        counts["late"] = count_rows(connection, late)
        counts["removed"] = count_rows(connection, gone)
        if counts["removed"]:
            counts["corrected"] = count_rows(connection, f"{gone} semi join {new} using ({key})")
            counts["known"] = count_rows(connection, known_events(lake, without=window.ds))
    return counts


def _validate(
    connection: duckdb.DuckDBPyConnection, settings: Settings, lake: Lake, window: Window, counts: dict[str, int]
) -> list[CheckResult]:
    """Check every table; on a failure keep what was refused and stop."""
    gone = counts["removed"] - counts["corrected"]
    met = counts["kept"] + counts["rejected"]
    batch: dict[str, float | None] = {
        "rows_read": met,
        "rows_kept": counts["kept"],
        "rows_rejected": counts["rejected"],
        "rejected_share": counts["rejected"] / max(1, met),
        "undatable": counts["undatable"],
        "late": counts["late"],
        "removed": gone,
        "deleted_share": gone / max(1, counts["known"]),
        **figures(connection, lake, window.ds),
    }
    values = ", ".join(f"cast(? as double) as {name}" for name in batch)
    connection.execute(f"create or replace table batch as select {values}", list(batch.values()))
    connection.execute(
        f"""create or replace view new_events as
            select * exclude ({LANDED}, {REMOVED}) from kept_events where not {REMOVED}"""
    )
    checks: list[CheckResult] = []
    failures = []
    relations = {"items": "kept_items", "users": "kept_users", "events": "new_events", "batch": "batch"}
    for table, relation in relations.items():
        try:
            checks += validate(table, connection, relation, window.ds, settings)
        except DataQualityError as error:
            failures.append(str(error))
            checks += error.results
    if failures:
        kept_at = keep_failed(connection, lake, window.ds, relations)
        raise DataQualityError(
            f"{'; '.join(failures)} (the batch is kept under {kept_at}/failed_*/ds={window.ds})", results=checks
        )
    return checks


def _reasons(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows put aside by reason, of all tables."""
    found: Counter[str] = Counter()
    for table in ("items", "users", "events"):
        for reason, count in connection.execute(
            f"select {REASON}, count(*) from rejected_{table} group by {REASON}"
        ).fetchall():
            found["unparsable" if re.search(r"\bunparsable\b", reason) else reason] += count
    return dict(sorted(found.items()))


def _covered(connection: duckdb.DuckDBPyConnection, settings: Settings, ds: date) -> IngestResult:
    """A night before the first one landed: its events are in the lake already, and nothing is written."""
    lake = Lake(settings.lake)
    first = lake.nights("events")[0]
    events = count_rows(connection, f"{known_events(lake)} where cast({TS} as date) = date '{ds}'")
    counts = {table: int(str(lake.facts(table, first).get("rows", 0))) for table in ENTITY_KEYS}
    return IngestResult(ds, COVERED, events, counts["users"], counts["items"])
