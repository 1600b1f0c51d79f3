"""Which source columns become which canonical ones, and why: small rules over names and values."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from recommender.columns import (
    AGE,
    AGE_BAND,
    CANONICAL_TYPES,
    CATEGORY,
    COUNTRY,
    CREATOR,
    DURATION,
    EVENT_TYPE,
    GENDER,
    REGISTERED,
    TITLE,
    WEIGHT,
    YEAR,
)
from recommender.data.draft.columns import Column
from recommender.data.draft.text import flow, scalar
from recommender.data.judgement import PLAUSIBLE_AGES
from recommender.storage.duckdb_sql import quoted

_NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "users": (
        (COUNTRY, r"country|^land$|nation"),
        (AGE_BAND, r"age_?(band|group|range|bracket)"),
        (AGE, r"^age$|^years?_old$"),
        (GENDER, r"gender|^sex$"),
        (REGISTERED, r"regist|sign_?up|created|joined|since"),
    ),
    "items": (
        (TITLE, r"title|^name$|_name$|headline|^label$|bezeichnung|^titel|nombre|^nom$"),
        (CREATOR, r"artist|author|creator|director|maker|brand|band|publisher|writer|developer|studio|^marke$"),
        (CATEGORY, r"genre|categor|kategor|^kind$|^type$|topic|section|subject|^tags?$"),
        (YEAR, r"year|release|publish|^made$|date"),
        (DURATION, r"duration|length|runtime"),
    ),
    "events": (
        (WEIGHT, r"weight|count|plays|rating|score|stars|quantity|listens|menge"),
        (EVENT_TYPE, r"event|action|type|^kind$"),
    ),
}
YEARS = (1000, 2100)
_MOST_VALUES = 200
"""A text with more different values than this, or with mostly different ones, is no category."""
_MOSTLY_DIFFERENT = 0.5
_SOME = 5
_CONTACT = re.compile(r"mail|phone|address|surname|first_?name|last_?name|login|passw|^ip$", re.IGNORECASE)
_GENDERS = frozenset({"f", "m", "female", "male", "d", "x", "w"})
_EMPTY = 0.05
"""A column with less than this share of values tells nothing."""
_LONG_TEXT = 60
_TITLE_YEAR = re.compile(r"\((\d{4})\)\s*$")
_MOSTLY = 0.8
_BIG_COUNTS = 100
"""Weights beyond this are counts, and their logarithm is taken."""


@dataclass(frozen=True)
class Mapped:
    """A line of a source's columns."""

    name: str
    spec: str
    """YAML."""
    why: str
    source: str
    """The column's name at the source."""
    used: bool = True
    """False: written as a comment."""
    kind: str = "text"
    distinct: int = 0
    filled_share: float = 1.0


def map_columns(table: str, columns: Iterable[Column], taken: set[str]) -> list[Mapped]:
    """Lines for the columns of a table that are not in `taken`: canonical names first, then attributes of its own."""
    left = [column for column in columns if column.name not in taken]
    mapped = []
    for name, pattern in _NAMES[table]:
        fitting = [
            column
            for column in left
            if _FITS[name](column) and (re.search(pattern, snake(column.name)) or _by_values(name, column))
        ]
        if fitting:
            rivals = [other for rival, other in _NAMES[table] if rival != name]
            best = min(
                fitting,
                key=lambda column: (
                    snake(column.name) != name,
                    any(re.search(other, snake(column.name)) for other in rivals),
                    column.looks_like_id,
                ),
            )
            left.remove(best)
            mapped.append(_canonical(name, best))
    title = next((line for line in mapped if line.name == TITLE), None)
    if table == "items" and title and not any(line.name == YEAR for line in mapped):
        mapped += _year_in_title(next(column for column in columns if scalar(column.name) == title.spec))
    names = {line.name for line in mapped} | set(taken)
    return mapped + [_own(column, table, names) for column in left]


def _canonical(name: str, column: Column) -> Mapped:
    spec, why = _SPECS.get(name, _plain)(column)
    share = f"{column.filled_share:.0%} filled" if column.filled_share < 1 else ""
    why = ", ".join(part for part in (why, share) if part)
    return Mapped(name, spec, why, column.name, True, CANONICAL_TYPES[name], column.distinct, column.filled_share)


def _own(column: Column, table: str, names: set[str]) -> Mapped:
    """An attribute under the source's own name, or a comment that says why not."""
    name = snake(column.name)
    name = f"{name}_" if name in names else name
    if column.has_decimal_commas and not column.is_number and table != "events":
        number = flow(sql=f"replace({reference(column.name)}, ',', '.')", type="number")
        return Mapped(name, number, "numbers with a decimal comma", column.name, True, "number",
                      column.distinct, column.filled_share)  # fmt: skip
    unused = _useless(column) or ("" if table != "events" else "not needed: say so if an expression uses it")
    if unused:
        return Mapped(name, scalar(column.name), unused, column.name, used=False)
    if column.is_number:
        kind = "integer" if column.is_integer else "number"
        return Mapped(name, flow(column=column.name, type=kind), _range(column), column.name, True, kind,
                      column.distinct, column.filled_share)  # fmt: skip
    spec, why = _plain(column)
    kind = "list" if column.separator or column.is_list else "text"
    why = why or f"{column.distinct:,} values"
    return Mapped(name, spec, why, column.name, True, kind, column.distinct, column.filled_share)


def _useless(column: Column) -> str:
    if column.filled_share < _EMPTY:
        return f"only {column.filled_share:.0%} filled"
    if column.sample and all("://" in value for value in column.sample):
        return "links"
    if _CONTACT.search(column.name) or (column.sample and all("@" in value for value in column.sample)):
        return "tells who somebody is, and nothing about taste"
    if column.looks_like_id:
        return "ids of something else"
    if column.time is not None:
        return "times"
    if column.distinct <= 1:
        return "always the same"
    if column.is_number or column.separator or column.is_list:
        return ""
    if column.average_length > _LONG_TEXT:
        return "long text"
    many = column.distinct > max(_MOST_VALUES, _MOSTLY_DIFFERENT * column.filled)
    if many or (column.is_unique and column.rows >= _SOME):
        return f"nearly all different: {column.distinct:,} values"
    return ""


def _plain(column: Column) -> tuple[str, str]:
    if column.separator:
        return flow(column=column.name, separator=column.separator), f"several values with {column.separator} between"
    if column.is_list:
        return flow(column=column.name, type="list"), "several values"
    return scalar(column.name), ""


def _age(column: Column) -> tuple[str, str]:
    low, high = PLAUSIBLE_AGES
    odd = [value for value in (column.low, column.high) if value is not None and not low <= value <= high]
    if not odd:
        return scalar(column.name), _range(column)
    shown = " and ".join(f"{value:g}" for value in odd)
    return flow(column=column.name, min=low, max=high), f"{shown} are what people type who don't want to say"


def _time(column: Column) -> tuple[str, str]:
    return time_spec(column.name, column)


def time_spec(name: str, column: Column) -> tuple[str, str]:
    """A time as a profile says it, and how it was recognised."""
    form = column.time
    if form is None or (form.unit == "iso" and form.format is None):
        return scalar(name), "native times" if column.native.startswith(("TIMESTAMP", "DATE")) else "ISO text"
    if form.format is not None:
        doubt = "; day and month could be the other way round: %m/%d" if form.ambiguous else ""
        return flow(column=name, format=form.format), f"{form.share:.0%} are written so{doubt}"
    return flow(column=name, unit=form.unit), f"{form.share:.0%} are numbers of that size"


def _year(column: Column) -> tuple[str, str]:
    low, high = YEARS
    if not column.is_integer:
        return (
            flow(sql=f"regexp_extract({reference(column.name)}, '(\\d{{4}})', 1)", min=low, max=high),
            f"the year in text such as {column.sample[0] if column.sample else ''}",
        )
    if column.low is not None and column.high is not None and low <= column.low and column.high <= high:
        return scalar(column.name), _range(column)
    return flow(column=column.name, min=low, max=high), f"{_range(column)}: others are no years"


def _year_in_title(title: Column) -> list[Mapped]:
    found = sum(bool(_TITLE_YEAR.search(value)) for value in title.sample)
    if found < _MOSTLY * len(title.sample) or not title.sample:
        return []
    spec = flow(sql=f"regexp_extract({reference(title.name)}, '\\((\\d{{4}})\\)\\s*$', 1)", min=YEARS[0], max=YEARS[1])
    return [
        Mapped(YEAR, spec, f"{found / len(title.sample):.0%} of the titles end in a year", title.name, True, "integer")
    ]


def _duration(column: Column) -> tuple[str, str]:
    if is_milliseconds(column.name):
        return flow(sql=f"try_cast({reference(column.name)} as double) / 1000", min=0), "milliseconds, as seconds"
    if column.low is not None and column.low < 0:
        return flow(column=column.name, min=0), "nothing lasts less than no time"
    return scalar(column.name), _range(column)


def is_milliseconds(name: str) -> bool:
    """Whether a duration's name says so."""
    return re.search(r"_ms$|millis", snake(name)) is not None


def _weight(column: Column) -> tuple[str, str]:
    if column.low is not None and column.low < 0:
        return flow(column=column.name, min=0), f"{_range(column)}: negative ones are taken as missing"
    if column.high is not None and column.high > _BIG_COUNTS:
        expression = f"ln(1 + try_cast({reference(column.name)} as double))"
        return flow(sql=expression), f"counts up to {column.high:,.0f}: their logarithm"
    return scalar(column.name), _range(column)


def reference(name: str) -> str:
    """A column in SQL."""
    return name if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name) else quoted(name)


def _range(column: Column) -> str:
    return "" if column.low is None or column.high is None else f"{column.low:g} to {column.high:g}"


def snake(name: str) -> str:
    words = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name))
    words = "".join(letter for letter in words if not unicodedata.combining(letter))
    text = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_") or "column"
    return text if text[0].isalpha() else f"c_{text}"


def _is_text(column: Column) -> bool:
    return not column.is_number


def _by_values(name: str, column: Column) -> bool:
    """What a column of a file without a header is, where its values alone tell."""
    if not column.is_unnamed or not _is_text(column) or not column.sample:
        return False
    if name == GENDER:
        return {value.lower() for value in column.sample} <= _GENDERS
    if name == TITLE:
        return column.separator is None and column.distinct > _MOSTLY_DIFFERENT * column.filled
    return name == CATEGORY and (column.separator is not None or 1 < column.distinct <= _MOST_VALUES)


def _any(column: Column) -> bool:
    return column.filled_share >= _EMPTY and not (column.sample and all("://" in value for value in column.sample))


def _is_number(column: Column) -> bool:
    return column.is_number


def _is_time(column: Column) -> bool:
    return column.time is not None


def _is_year(column: Column) -> bool:
    return column.is_integer or sum(bool(re.search(r"\d{4}", value)) for value in column.sample) >= _MOSTLY * max(
        1, len(column.sample)
    )


def _few_values(column: Column) -> bool:
    return not column.is_number and 1 < column.distinct <= _MOST_VALUES


_FITS: dict[str, Callable[[Column], bool]] = {
    COUNTRY: _any, AGE_BAND: _any, AGE: _is_number, GENDER: _any, REGISTERED: _is_time, TITLE: _is_text,
    CREATOR: _any, CATEGORY: _any, YEAR: _is_year, DURATION: _is_number, WEIGHT: _is_number, EVENT_TYPE: _few_values,
}  # fmt: skip
_SPECS: dict[str, Callable[[Column], tuple[str, str]]] = {
    AGE: _age, REGISTERED: _time, YEAR: _year, DURATION: _duration, WEIGHT: _weight,
}  # fmt: skip
