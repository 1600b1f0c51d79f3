"""The night's batch: read, judged row by row, validated as a whole, and landed in the lake all at once.

rows read = rows kept + rows quarantined, for every table and every night.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

import duckdb
import pandas as pd

from recommender.columns import AGE, AGE_BAND, EVENT_TYPE, ITEM_ID, RAW, REASON, TS, USER_ID, WEIGHT
from recommender.config.settings import Settings, nights
from recommender.data.dataset import night_end
from recommender.data.quality import validate
from recommender.data.sources import collect_unparsable, open_source, out_of_range
from recommender.data.synthetic import ensure_world
from recommender.errors import DataQualityError, SourceError
from recommender.progress import Progress, quiet
from recommender.storage.lake import Lake

_OLDEST_EVENT = "1990-01-01"
"""Earlier times are typing errors and unset clocks."""
BOOTSTRAP = "bootstrap"
_AGE_BAND_SQL = f"""case when {AGE} < 18 then 'under 18' when {AGE} < 25 then '18-24' when {AGE} < 35 then '25-34'
    when {AGE} < 45 then '35-44' when {AGE} < 55 then '45-54' when {AGE} is not null then '55+' end"""
NIGHT = "night"


@dataclass(frozen=True)
class IngestResult:
    """What a night's ingest kept and put aside."""

    ds: date
    kind: str
    """`bootstrap`, `night`, or `covered` where the bootstrap already holds this night."""
    events: int
    users: int
    items: int
    quarantined: dict[str, int] = field(default_factory=dict)
    """Rows put aside, by reason."""
    taken_as_missing: dict[str, int] = field(default_factory=dict)
    """Values outside their bounds, by column."""
    filled_nights: int = 0
    """Earlier nights that had not landed and came in now."""

    @property
    def summary(self) -> str:
        aside = sum(self.quarantined.values())
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(self.quarantined.items()))
        fill = f", {self.filled_nights} missed nights filled" if self.filled_nights else ""
        blank = sum(self.taken_as_missing.values())
        missing = f", {blank} values out of range taken as missing" if blank else ""
        return (
            f"{self.kind}: {self.events:,} events, {self.users:,} users, {self.items:,} items; "
            f"{aside:,} rows quarantined{f' ({reasons})' if aside else ''}{missing}{fill}"
        )


@dataclass(frozen=True)
class _Batch:
    kept: pd.DataFrame
    rejected: pd.DataFrame
    """raw, reason"""


def ingest(settings: Settings, ds: date, progress: Progress = quiet) -> IngestResult:
    """Take in the night `ds`: everything up to its end when the lake is empty, else that day's slice.

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
    first = landed[0] if landed else ds
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    batches = {"items": _entities(connection, settings, "items", ITEM_ID)}
    if settings.profile.users is not None:
        batches["users"] = _entities(connection, settings, "users", USER_ID)
    taken_as_missing = {
        f"{table}.{column}": count
        for table in batches
        for column, count in out_of_range(connection, settings.profile, table).items()
    }
    open_source(connection, settings.profile, "events", settings.data)
    for table, batch in batches.items():
        connection.register(f"known_{table}", batch.kept)
    before = [night for night in landed if night < ds]
    missed = nights(before[-1] + timedelta(days=1), ds - timedelta(days=1)) if before else []
    todo = [] if ds < first else [*missed, ds]
    slices: dict[date, _Batch] = {}
    for night in todo:
        progress(f"reading events of {night}")
        slices[night] = _events(connection, settings, lake, night, bootstrap=night == first)
    if not landed and slices[ds].kept.empty:
        raise SourceError(
            f"no usable event up to {ds} in {settings.data / settings.profile.events.place}: "
            f"{len(slices[ds].rejected)} rows were unusable; is ds before the data begins?"
        )
    if settings.profile.users is None:
        batches["users"] = _users_from_events(lake, slices)
    progress("validating the batch")
    _validate(settings, lake, ds, batches, slices)
    for table, batch in batches.items():
        _land(lake, table, ds, batch, {})
    for night, batch in slices.items():
        _land(lake, "events", night, batch, {"kind": BOOTSTRAP if night == first else NIGHT})
    everything = [*batches.values(), *slices.values()]
    reasons = pd.concat([batch.rejected[REASON].str.replace(r"^line \d+ ", "", regex=True) for batch in everything])
    return IngestResult(
        ds=ds,
        kind="covered by the bootstrap" if ds < first else BOOTSTRAP if ds == first else NIGHT,
        events=sum(len(batch.kept) for batch in slices.values()),
        users=len(batches["users"].kept),
        items=len(batches["items"].kept),
        quarantined={str(reason): int(count) for reason, count in reasons.str.split(":").str[0].value_counts().items()},
        taken_as_missing=taken_as_missing,
        filled_nights=len(missed),
    )


def _entities(connection: duckdb.DuckDBPyConnection, settings: Settings, table: str, key: str) -> _Batch:
    """Users or items: one row an id, the first one wins."""
    open_source(connection, settings.profile, table, settings.data)
    source = settings.profile.users if table == "users" else settings.profile.items
    banded = source is not None and AGE in source.columns and AGE_BAND not in source.columns
    band = f", {_AGE_BAND_SQL} as {AGE_BAND}" if banded else ""
    judged = _read(
        connection,
        f"""select *{band}, case when {key} is null then 'missing {key}'
                          when row_number() over (partition by {key} order by position) > 1
                              then 'duplicate {key}' end as {REASON}
            from (select *, row_number() over () as position from {table})
            order by {key}, position""",
        settings,
        table,
    ).drop(columns="position")
    return _split(connection, judged, table)


def _events(
    connection: duckdb.DuckDBPyConnection, settings: Settings, lake: Lake, night: date, *, bootstrap: bool
) -> _Batch:
    """The night's slice of events. A row without a readable time belongs to the first night that meets it."""
    profile = settings.profile
    start, end = night_end(night - timedelta(days=1)), night_end(night)
    mapped = profile.events.columns
    event_type = EVENT_TYPE if EVENT_TYPE in mapped else f"'{profile.words.event}'"
    weight = f"coalesce({WEIGHT}, 1)" if WEIGHT in mapped else "1"
    known_user = f"{USER_ID} in (select {USER_ID} from known_users)" if profile.users is not None else "true"
    slice_ = f"{TS} < ?" if bootstrap else f"{TS} >= ? and {TS} < ?"
    bounds = [end] if bootstrap else [start, end]
    judged = _read(
        connection,
        f"""with slice as (
                select {USER_ID}, {ITEM_ID}, {TS}, cast({event_type} as varchar) as {EVENT_TYPE},
                       cast({weight} as float) as {WEIGHT}, {RAW}
                from events where {slice_} or {TS} is null)
            select *, case when {USER_ID} is null then 'missing {USER_ID}'
                           when {ITEM_ID} is null then 'missing {ITEM_ID}'
                           when {TS} is null then 'unreadable {TS}'
                           when {TS} < '{_OLDEST_EVENT}' then 'implausible {TS}'
                           when {ITEM_ID} not in (select {ITEM_ID} from known_items) then 'unknown item'
                           when not ({known_user}) then 'unknown user'
                           when row_number() over (
                               partition by {USER_ID}, {ITEM_ID}, {TS}, {EVENT_TYPE} order by {RAW}) > 1
                               then 'duplicate' end as {REASON}
            from slice order by {USER_ID}, {TS}, {ITEM_ID}""",
        settings,
        "events",
        [bound.replace(tzinfo=None) for bound in bounds],
    )
    batch = _split(connection, judged, "events")
    earlier = lake.paths("quarantine_events", night - timedelta(days=1))
    if bootstrap or not earlier or batch.rejected.empty:
        return batch
    met = pd.concat([pd.read_parquet(path, columns=[RAW]) for path in earlier])[RAW]
    undated = ~batch.rejected[REASON].isin(["unknown item", "unknown user", "duplicate"])
    return _Batch(batch.kept, batch.rejected[~(undated & batch.rejected[RAW].isin(met))])


def _read(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    settings: Settings,
    table: str,
    parameters: list[object] | None = None,
) -> pd.DataFrame:
    try:
        return connection.execute(query, parameters or []).df()
    except duckdb.Error as error:
        path = settings.data / getattr(settings.profile, table).place
        raise SourceError(f"cannot read {path}: {str(error).strip().splitlines()[0]}") from None


def _split(connection: duckdb.DuckDBPyConnection, judged: pd.DataFrame, table: str) -> _Batch:
    collect_unparsable(connection, table)
    unparsable = connection.execute(f"select {RAW}, {REASON} from {table}_unparsable order by all").df()
    bad = judged[REASON].notna()
    rejected = pd.concat([judged.loc[bad, [RAW, REASON]], unparsable], ignore_index=True).astype("string")
    return _Batch(judged[~bad].drop(columns=[RAW, REASON]).reset_index(drop=True), rejected)


def _users_from_events(lake: Lake, slices: dict[date, _Batch]) -> _Batch:
    """Without a users source, whoever has an event is a user."""
    known = [pd.read_parquet(path, columns=[USER_ID]) for path in lake.paths("users", max(slices, default=date.max))]
    found = pd.concat([*known, *(batch.kept[[USER_ID]] for batch in slices.values())])
    ids = pd.DataFrame({USER_ID: sorted(found[USER_ID].unique())})
    return _Batch(ids, pd.DataFrame({RAW: [], REASON: []}, dtype="string"))


def _validate(settings: Settings, lake: Lake, ds: date, batches: dict[str, _Batch], slices: dict[date, _Batch]) -> None:
    """Check every table; on a failure keep what was refused and stop."""
    events = [batch.kept for batch in slices.values()]
    rejected = sum(len(batch.rejected) for batch in slices.values())
    kept = sum(map(len, events))
    undatable = sum(batch.rejected[REASON].str.startswith("unreadable").sum() for batch in slices.values())
    summary = pd.DataFrame(
        {
            "rows_read": [kept + rejected],
            "rows_kept": [kept],
            "rows_rejected": [rejected],
            "rejected_share": [rejected / max(1, kept + rejected)],
            "undatable": [int(undatable)],
        }
    )
    checked: dict[str, pd.DataFrame] = {table: batch.kept for table, batch in batches.items()}
    if events:
        checked["events"] = pd.concat(events, ignore_index=True)
        checked["batch"] = summary
    failures = []
    for table, frame in checked.items():
        try:
            validate(table, frame, ds, settings)
        except DataQualityError as error:
            failures.append(str(error))
    if failures:
        for table, frame in checked.items():
            lake.write(f"failed_{table}", ds, frame)
        aside = [batch.rejected for batch in [*batches.values(), *slices.values()]]
        lake.write("failed_quarantine", ds, pd.concat(aside, ignore_index=True))
        kept_at = lake.path("failed_events", ds).parent.parent.parent
        raise DataQualityError(f"{'; '.join(failures)} (the batch is kept under {kept_at}/failed_*/ds={ds})")
    for table in [*checked, "quarantine"]:
        lake.remove(f"failed_{table}", ds)


def _land(lake: Lake, table: str, ds: date, batch: _Batch, facts: dict[str, object]) -> None:
    """The quarantine first: a crash in between must not lose the rejects of a landed partition."""
    lake.write(f"quarantine_{table}", ds, batch.rejected)
    lake.write(table, ds, batch.kept, {**facts, "rows": len(batch.kept), "quarantined": len(batch.rejected)})
