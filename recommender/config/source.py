"""What a profile may say about where a table comes from: files or SQL, side tables, and the mapping of columns."""

import difflib
import zoneinfo
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from recommender.columns import CANONICAL_TYPES, ColumnType
from recommender.config.section import Section

Format = Literal["csv", "parquet", "jsonl"]
TimePart = Literal["year", "month", "day", "hour", "minute", "second"]
_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
COMPRESSIONS = (".gz", ".zst")
_ANY_FORMAT = ("*", *(f"*{ending}" for ending in COMPRESSIONS))
_LONGEST_DELIMITER = 4


class ColumnSource(Section):
    """Where one canonical column comes from: exactly one of `column`, `sql`, `value` and `parts`."""

    column: str | None = None
    """The source's column."""
    sql: str | None = None
    """A DuckDB expression over the source's columns, and over those of its side tables as `join.column`. `fold(text)`
    gives a name without case, accents and punctuation."""
    value: str | float | None = None
    """A constant."""
    parts: dict[TimePart, str] | None = None
    """A time in several columns: `{year: y, month: m, day: d}`, and `hour`, `minute`, `second` where there are such."""
    type: ColumnType | None = None
    """Known for the canonical names; text for others. A `list` is a multi-valued text."""
    separator: str | None = None
    """Between the values of a multi-valued text, such as `|`; the column is then a `list`."""
    unit: Literal["iso", "seconds", "milliseconds", "microseconds"] = "iso"
    """How a time is written: ISO text or a native timestamp, or an epoch count."""
    format: str | None = None
    """How a time is written otherwise, in the letters of `strptime`: `%d.%m.%Y %H:%M`."""
    zone: str | None = None
    """Zone of times that name none, such as `Europe/Berlin`; UTC when absent."""
    min: float | None = None
    """Numbers below this are taken as missing, and counted."""
    max: float | None = None
    """Numbers above this are taken as missing, and counted."""
    personal: bool | None = None
    """Personal data: used for features, never shown in logs, reports, Data Docs or recommendations. When absent: true
    for every column of the users table."""

    @field_validator("value", mode="before")
    @classmethod
    def _time_as_text(cls, value: Any) -> Any:
        """YAML reads what looks like a date as one."""
        return value.isoformat() if isinstance(value, date) else value

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        zones = zoneinfo.available_timezones()
        if zone is not None and zones and zone not in zones:
            near = difflib.get_close_matches(zone, zones, n=1, cutoff=0.5)
            raise ValueError(f"no time zone is called {zone!r}{f'; did you mean {near[0]!r}?' if near else ''}")
        return zone

    @model_validator(mode="after")
    def _one_origin(self) -> "ColumnSource":
        origins = (self.column, self.sql, self.value, self.parts)
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError("give exactly one of `column`, `sql`, `value` and `parts`")
        if self.parts is not None and not {"year", "month", "day"} <= set(self.parts):
            raise ValueError("`parts` needs year, month and day")
        return self


class Origin(Section):
    """Where rows are read from: files or a URL by `path`, or a database by `database` and `table` or `query`."""

    path: str | None = None
    """A file or a folder relative to the data folder, `*` for several files, or a URL that fsspec reads, such as
    `s3://bucket/events/*.parquet`. `.gz` and `.zst` are unpacked; folders named `key=value` become columns."""
    format: Format | None = None
    """Taken from the file's ending when absent."""
    delimiter: Annotated[str, Field(min_length=1, max_length=4)] | None = None
    """Between the values of a CSV row, at most four bytes: a tab for `.tsv`, else a comma, when absent."""
    quote: Annotated[str, Field(max_length=1)] = '"'
    """Around CSV values that hold the delimiter; empty for files that quote nothing."""
    header: bool = True
    """Whether the first CSV line names the columns."""
    names: tuple[str, ...] = ()
    """The columns of CSV files without a header, in their order; `column0`, `column1` … when absent."""
    encoding: Literal["utf-8", "utf-16", "latin-1"] = "utf-8"
    """Of text files."""
    database: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Name of the environment variable that holds a SQLAlchemy URL; the URL itself is a secret, not for a profile."""
    table: str | None = None
    """Table or view of that database, such as `shop.orders`."""
    query: str | None = None
    """A query on that database, instead of a table."""
    limit: Annotated[int, Field(gt=0)] | None = None
    """Read at most this many rows, for quick runs."""
    joins: "tuple[Join, ...]" = ()
    """Side tables whose columns expressions may use."""

    @model_validator(mode="after")
    def _one_place(self) -> "Origin":
        if (self.path is None) == (self.database is None):
            raise ValueError("give either `path` or `database`")
        if self.database is not None and (self.table is None) == (self.query is None):
            raise ValueError("give exactly one of `table` and `query` with `database`")
        ending = (self.path or "").rsplit("/", 1)[-1]
        if "." in ending and not ending.endswith(_ANY_FORMAT) and self.format_of(ending) is None:
            raise ValueError(f"cannot tell the format of {self.path!r}: say `format: csv`, `parquet` or `jsonl`")
        if len((self.delimiter or "").encode()) > _LONGEST_DELIMITER:
            raise ValueError(f"`delimiter` {self.delimiter!r} is longer than {_LONGEST_DELIMITER} bytes")
        if self.header and self.names:
            raise ValueError("`names` is for files without a header: say `header: false` too")
        names = [join.name for join in self.joins]
        if len(names) != len(set(names)):
            raise ValueError("two joins have the same name")
        return self

    @property
    def place(self) -> str:
        """For messages: the path, or what of which database."""
        return self.path or f"{self.table or 'the query'} of database {self.database}"

    def format_of(self, file: str) -> Format | None:
        """The declared format, or what the ending of a file says; None when neither tells."""
        if self.format is not None:
            return self.format
        name = file.lower()
        for compression in COMPRESSIONS:
            name = name.removesuffix(compression)
        return next((kind for ending, kind in _FORMATS.items() if name.endswith(ending)), None)

    def delimiter_of(self, file: str) -> str:
        """The declared delimiter, or what the ending of a file says."""
        return self.delimiter or ("\t" if ".tsv" in file.lower() else ",")


class Join(Origin):
    """A side table, such as tags or audio features: at most one row of it meets a row of the source."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Expressions of the source reach its columns as `name.column`."""
    on: Annotated[dict[str, str], Field(min_length=1)]
    """The key: expressions over the source's columns, each with the expression over this table that equals it."""
    columns: Annotated[dict[str, str], Field(min_length=1)]
    """What it gives: new names with expressions over this table. The rows that share a key are grouped, so each
    expression is an aggregate, such as `avg(energy)`, `min(label)` or `list(tag order by tag)`."""


class Source(Origin):
    """One table: where it is and the mapping onto canonical columns."""

    columns: dict[str, ColumnSource]
    """Canonical name to the source's column, or to a ColumnSource. Besides the required ids and `ts`, these names
    have a meaning: event_type, weight; country, age, age_band, gender, registered; title, creator, category, year,
    duration. Any other name is an attribute of your own."""

    @field_validator("columns", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"column": text} if isinstance(text, str) else text for name, text in value.items()}

    def type_of(self, name: str) -> ColumnType:
        """A column's declared type, else what its name or its separator says."""
        column = self.columns[name]
        if column.separator is not None:
            return "list"
        return column.type or CANONICAL_TYPES.get(name, "text")


class EventSource(Source):
    """The events: whoever did what with which item, and when."""

    delivery: Literal["full", "increment"] = "full"
    """`full`: every delivery holds the whole history, so that what is missing from it was deleted at the source.
    `increment`: deliveries hold new rows, and nothing is ever taken as deleted."""
