"""What a check found: plain figures, for a person's table and for machines alike."""

import dataclasses
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from recommender.data.times import TimeForm


@dataclass(frozen=True)
class File:
    """One source file."""

    path: str
    """Relative to the data folder."""
    bytes: int


@dataclass(frozen=True)
class ColumnFigures:
    """One canonical column. Values of personal columns are counted, never shown."""

    name: str
    type: str
    personal: bool
    rows: int
    missing: int
    """Rows without a value, the unreadable and the out-of-range ones among them."""
    unreadable: int = 0
    """Source values that are not of the column's type."""
    out_of_range: int = 0
    """Source values outside `min` and `max`."""
    distinct: int | None = None
    top: tuple[tuple[str, int], ...] = ()
    """The most frequent values of a text, and their rows."""
    examples: tuple[str, ...] = ()
    """Some unreadable source values."""

    @property
    def missing_share(self) -> float:
        return self.missing / max(1, self.rows)


@dataclass(frozen=True)
class TableFigures:
    """One table: rows = kept + the sum of rejected."""

    table: str
    place: str
    files: tuple[File, ...]
    rows: int
    kept: int
    rejected: dict[str, int]
    """Rows that would be quarantined, by reason."""
    columns: tuple[ColumnFigures, ...]
    unparsable: tuple[str, ...] = ()
    """The first lines that could not be split into columns."""

    def column(self, name: str) -> ColumnFigures | None:
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True)
class Spread:
    """Events per user or item."""

    ids: int
    median: float
    p90: float
    max: int


@dataclass(frozen=True)
class Orphans:
    """Events that name an id which the other table lacks."""

    rows: int
    ids: int
    examples: tuple[str, ...] = ()
    """Item ids; never user ids."""


@dataclass(frozen=True)
class SplitFigures:
    """How the night's split would look."""

    trained_to: date
    judged_at: date
    ds: date
    training_events: int
    validation_events: int
    holdout_events: int
    holdout_users: int
    known_holdout_users: int
    """Those with an event before the holdout."""


@dataclass(frozen=True)
class EventFigures:
    """What the usable events look like; duplicates count once."""

    events: int
    users: Spread
    items: Spread
    first: datetime
    last: datetime
    per_day: tuple[tuple[date, int], ...]
    """Days with events, oldest first."""
    density: float
    """events / (users with events * items with events)"""
    top_1_percent_share: float
    """Share of the events on the most popular 1% of the items."""
    top_10_percent_share: float
    gini: float
    """Of the events over the items that have any: 0 when all are equally popular."""
    unknown_items: Orphans
    unknown_users: Orphans
    beyond_ds: int
    """Usable events after the night."""
    ds_rows: int
    """Event rows that the night `ds` would read, were it the first."""
    ds_rejected: int
    """Those of them it would put aside."""
    split: SplitFigures


@dataclass(frozen=True)
class TimeProbe:
    """How a source writes its times, for a time column where many can't be used."""

    table: str
    name: str
    column: str
    """The source's column."""
    form: TimeForm | None
    """What they look like; None when they are no times, or just as the profile says."""
    declared: bool
    """They look as the profile says; the unusable ones are in the file itself."""


@dataclass
class Report:
    """Everything a check has to say."""

    profile: str
    data: str
    ds: date | None
    """The night the verdict is about."""
    tables: list[TableFigures] = field(default_factory=list)
    events: EventFigures | None = None
    time_probes: list[TimeProbe] = field(default_factory=list)
    odd_ages: int = 0
    """Users whose age nobody has; 0 and 98 are what people type when they don't want to say."""
    problems: list[str] = field(default_factory=list)
    """What would stop the night."""
    advice: list[str] = field(default_factory=list)
    """What to change in the profile, or to look at."""

    @property
    def ready(self) -> bool:
        return not self.problems

    def table(self, name: str) -> TableFigures | None:
        return next((table for table in self.tables if table.table == name), None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: dates and times as ISO text."""
        return {**_plain(dataclasses.asdict(self)), "ready": self.ready}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value
