"""Expectation suites: one reviewable YAML file a table, in `expectations/`, and more in the profile's own folder.

    - expect: expect_column_values_to_be_between      # any expectation of Great Expectations
      column: ts                                      # and its arguments
      min_value: 1990-01-01
      max_value: "{ds_end}"                           # the end of the night
      strict_max: true
      severity: fail                                  # or warn, or off; fail when absent
      optional: true                                  # passed over where the table lacks the column
      note: why this must hold

A column may be a pattern such as `events_*d`: the entry then stands for every column that matches. An entry of the
profile's own file replaces the shipped entries with the same `expect` and column; `severity: off` only removes them.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from recommender.config.section import first_problem
from recommender.config.settings import Settings
from recommender.config.yaml12 import read_yaml
from recommender.errors import ConfigError
from recommender.storage.quality_results import Severity

SHIPPED = Path(__file__).resolve().parents[3] / "expectations"


class _Entry(BaseModel):
    """An entry as written; what is not named here is an argument of the expectation."""

    model_config = ConfigDict(extra="allow", frozen=True)

    expect: str
    severity: Literal["fail", "warn", "off"] = "fail"
    optional: bool = False
    note: str = ""


@dataclass(frozen=True)
class Expected:
    """One expectation of one table, its templates filled in."""

    expectation: str
    arguments: dict[str, Any]
    severity: Severity
    optional: bool
    note: str
    where: str
    """File and entry, for messages."""
    off: bool = False
    """True for an entry that only removes shipped ones."""

    @property
    def is_of_the_table(self) -> bool:
        """Of its columns' names and its number of rows, and of no value."""
        return self.expectation.startswith("expect_table_") or self.expectation == "expect_column_to_exist"

    @property
    def subject(self) -> tuple[str, ...]:
        """What is expected of which columns; entries of the profile's own replace those with the same subject."""
        column = self.arguments.get("column") if self.is_of_the_table else None
        return (self.expectation, *self.columns, *([column] if column else []))

    @property
    def columns(self) -> list[str]:
        """Columns that must exist before the expectation can be looked at."""
        if self.is_of_the_table:
            return []
        singles = [self.arguments.get(name) for name in ("column", "column_A", "column_B")]
        return [name for name in singles if name is not None] + list(self.arguments.get("column_list", ()))


def load_suite(
    table: str, columns: Iterable[str], ds: date, settings: Settings, declared: Sequence[Expected] = ()
) -> list[Expected]:
    """The table's expectations for the night `ds`, column patterns spelled out over `columns`.

    `declared` are those that follow from elsewhere; they count as shipped, and may be all there is.

    Raises
    ------
    ConfigError
        A file is missing, not YAML, or has an entry that can't be understood; file and entry are named.
    """
    shipped, own = (
        _entries(path, columns, ds, settings) if path is not None else [] for path in _files(table, settings, declared)
    )
    shipped = [*shipped, *declared]
    subjects = {entry.subject for entry in shipped}
    for entry in own:
        if entry.off and entry.subject not in subjects and not _is_pattern(entry.arguments.get("column")):
            raise ConfigError(f"{entry.where}: the shipped suite has no such expectation to switch off")
    replaced = {entry.subject for entry in own}
    return [
        *(entry for entry in shipped if entry.subject not in replaced),
        *(entry for entry in own if not entry.off),
    ]


def _files(table: str, settings: Settings, declared: Sequence[Expected]) -> tuple[Path | None, Path | None]:
    """The shipped suite of a table and the profile's own, each where it exists."""
    shipped, own = SHIPPED / f"{table}.yaml", None
    if settings.profile.quality.expectations is not None:
        folder = settings.profile_path.parent / settings.profile.quality.expectations
        if not folder.is_dir():
            raise ConfigError(f"{settings.profile_path}: quality.expectations: {folder} is not a folder")
        own = folder / f"{table}.yaml"
    found = (shipped if shipped.is_file() else None, own if own is not None and own.is_file() else None)
    if found == (None, None) and not declared:
        raise ConfigError(f"no expectations for {table}: {own or shipped} does not exist")
    return found


def _entries(path: Path, columns: Iterable[str], ds: date, settings: Settings) -> list[Expected]:
    content = read_yaml(path)
    if not isinstance(content, list):
        raise ConfigError(f"{path} must hold a list of expectations, each with `expect: expect_…`")
    known = {
        "ds": datetime.combine(ds, time()),
        "ds_end": datetime.combine(ds, time()) + timedelta(days=1),
        "max_rejected_share": settings.profile.quality.max_rejected_share,
        "max_deleted_share": settings.profile.quality.max_deleted_share,
    }
    suite: list[Expected] = []
    for number, written in enumerate(content, start=1):
        where = f"{path}: entry {number}"
        try:
            entry = _Entry.model_validate(written)
        except ValidationError as error:
            raise ConfigError(f"{where}: {first_problem(error)}") from None
        where = f"{where} ({entry.expect})"
        arguments = {name: _filled(value, known, where) for name, value in (entry.model_extra or {}).items()}
        off = entry.severity == "off"
        severity: Severity = "fail" if entry.severity == "off" else entry.severity
        suite += [
            Expected(entry.expect, {**arguments, **column}, severity, entry.optional, entry.note, where, off)
            for column in _spelled_out(arguments.get("column"), columns)
        ]
    return suite


def _filled(value: Any, known: Mapping[str, Any], where: str) -> Any:
    if isinstance(value, list):
        return [_filled(element, known, where) for element in value]
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time())
    if isinstance(value, str) and value.startswith("{") and value.endswith("}"):
        name = value[1:-1]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {{{near[0]}}}?" if near else f"known: {', '.join(f'{{{key}}}' for key in known)}"
            raise ConfigError(f"{where}: nothing is called {value}; {hint}")
        return known[name]
    return value


def _spelled_out(column: Any, columns: Iterable[str]) -> list[dict[str, str]]:
    """The `column` argument of each expectation that an entry stands for; one entry without it stays one."""
    if not _is_pattern(column):
        return [{}]
    return [{"column": name} for name in columns if fnmatchcase(name, column)] or [{}]


def _is_pattern(column: Any) -> bool:
    return isinstance(column, str) and any(sign in column for sign in "*?[")
