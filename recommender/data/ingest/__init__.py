"""The night's batch: read, judged row by row, validated as a whole, and landed in the lake all at once.

rows met = rows kept + rows quarantined, for every table and every night.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta

import duckdb

from recommender.columns import LANDED, REASON, REMOVED, TS, USER_ID
from recommender.config.settings import Settings
from recommender.config.source import Source
from recommender.data.dataset import night_end
from recommender.data.erasures import forget_mentions, mark_erased
from recommender.data.events import EVENT_KEY, known_events
from recommender.data.ingest.changes import Window, find_changes
from recommender.data.ingest.entities import KEYS, entities_of_events, judge_entities
from recommender.data.ingest.landing import discard_failed, keep_failed, land
from recommender.data.ingest.schema import check_schema
from recommender.data.names import canonicalise
from recommender.data.quality import CheckResult, validate
from recommender.data.quality.history import figures
from recommender.data.session import working_database
from recommender.data.sources import open_source, out_of_range
from recommender.data.sources.relations import one_line
from recommender.data.synthetic import ensure_world
from recommender.errors import DataQualityError, SourceError
from recommender.progress import Progress, quiet
from recommender.storage.lake import Lake

BOOTSTRAP, NIGHT, COVERED = "bootstrap", "night", "covered by the bootstrap"
_LATE_SHOWN = ("late", "corrected", "removed", "erased")


@dataclass(frozen=True)
class IngestResult:
    """What a night's ingest kept and put aside."""

    ds: date
    kind: str
    """`bootstrap`, `night`, or `covered …` where the bootstrap already holds this night."""
    events: int
    users: int
    items: int
    quarantined: dict[str, int] = field(default_factory=dict)
    """Rows put aside, by reason."""
    taken_as_missing: dict[str, int] = field(default_factory=dict)
    """Values outside their bounds, by column."""
    filled_nights: int = 0
    """Earlier nights that had not landed and came in now."""
    late: int = 0
    """Events of days that were over already, corrected ones among them."""
    corrected: int = 0
    """Events that the source now tells otherwise."""
    removed: int = 0
    """Events gone from the source, those that came back corrected not among them."""
    erased: int = 0
    """Rows of erased users, which are left out of everything."""
    merged_names: int = 0
    """Spellings replaced by their canonical one."""
    notes: tuple[str, ...] = ()
    """Changes of the sources' columns since the last night."""
    checks: tuple[CheckResult, ...] = field(default=(), compare=False, repr=False)
    """What the expectations found."""

    @property
    def summary(self) -> str:
        aside = sum(self.quarantined.values())
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.quarantined.items()))
        parts = [f"{aside:,} rows quarantined{f' ({reasons})' if aside else ''}"]
        parts += [f"{getattr(self, name):,} {name}" for name in _LATE_SHOWN if getattr(self, name)]
        blank = sum(self.taken_as_missing.values())
        if blank:
            parts.append(f"{blank:,} values out of range taken as missing")
        if self.merged_names:
            parts.append(f"{self.merged_names:,} names merged")
        if self.filled_nights:
            parts.append(f"{self.filled_nights} missed nights filled")
        warned = [check.detail for check in self.checks if not check.success]
        notes = "".join(f"; {note}" for note in [*self.notes, *(f"warning: {detail}" for detail in warned)])
        return (
            f"{self.kind}: {self.events:,} events, {self.users:,} users, {self.items:,} items; "
            f"{', '.join(parts)}{notes}"
        )


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
    if settings.profile.synthetic is not None:
        ensure_world(settings.profile.synthetic, settings.data, progress)
    lake = Lake(settings.lake)
    landed = lake.nights("events")
    with working_database(settings.profile.engine, settings.world) as connection:
        if landed and ds < landed[0]:
            return _covered(connection, settings, ds)
        before = [night for night in landed if night < ds]
        first = before[-1] + timedelta(days=1) if before else ds
        window = Window(ds, first=min(first, ds), bootstrap=not before, newest=not any(night > ds for night in landed))
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
                connection.execute(f"create or replace table known_{table} as select {KEYS[table]} from kept_{table}")
            outside = out_of_range(connection, profile, table)
        missing |= {f"{table}.{column}": count for column, count in outside.items()}
    known = {table: lake.paths(table, ds)[-1:] for table in KEYS}
    for table, source in (("items", profile.items), ("users", profile.users)):
        if source is None:
            earlier = f"read_parquet('{str(known[table][0]).replace(chr(39), chr(39) * 2)}')" if known[table] else None
            entities_of_events(connection, table, earlier)
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
        users=_count(connection, "kept_users"),
        items=_count(connection, "kept_items"),
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
            rows += _count(connection, f"{table} where {gone}")
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
    kept = _count(connection, f"kept_events where not {REMOVED}")
    counts = {"kept": kept, "rejected": _count(connection, "rejected_events"), "late": 0, "corrected": 0, "removed": 0}
    counts["undatable"] = _count(connection, f"rejected_events where {REASON} = 'unreadable {TS}'")
    counts["known"] = 0
    if not window.bootstrap:
        counts["late"] = _count(connection, f"kept_events where not {REMOVED} and {TS} < date '{window.first}'")
        counts["removed"] = _count(connection, f"kept_events where {REMOVED}")
        if counts["removed"]:
            key = ", ".join(EVENT_KEY)
            counts["corrected"] = _count(
                connection,
                f"(select * from kept_events where {REMOVED}) "
                f"semi join (select * from kept_events where not {REMOVED}) using ({key})",
            )
            counts["known"] = _count(connection, known_events(lake, without=window.ds))
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
    events = _count(connection, f"{known_events(lake)} where cast({TS} as date) = date '{ds}'")
    counts = {table: int(str(lake.facts(table, first).get("rows", 0))) for table in KEYS}
    return IngestResult(ds, COVERED, events, counts["users"], counts["items"])


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = connection.execute(f"select count(*) from {relation}").fetchone()
    return int(row[0]) if row else 0
