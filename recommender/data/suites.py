"""Expectation suites: one reviewable YAML file a table, in `expectations/` or the profile's own folder.

    - expect: expect_column_values_to_be_between      # any expectation of Great Expectations
      column: ts                                      # and its arguments
      min_value: 1990-01-01
      max_value: "{ds_end}"                           # the end of the night
      strict_max: true
      severity: fail                                  # or warn; fail when absent
      optional: true                                  # passed over where the table lacks the column
      note: why this must hold

A column may be a pattern such as `events_*d`: the entry then stands for every column that matches.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from recommender.config.settings import Settings
from recommender.errors import ConfigError

SHIPPED = Path(__file__).resolve().parents[2] / "expectations"
Severity = Literal["fail", "warn"]


class _Entry(BaseModel):
    """An entry as written; what is not named here is an argument of the expectation."""

    model_config = ConfigDict(extra="allow", frozen=True)

    expect: str
    severity: Severity = "fail"
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

    @property
    def columns(self) -> list[str]:
        """Columns that must exist before the expectation can be looked at."""
        if self.expectation.startswith("expect_table_") or self.expectation == "expect_column_to_exist":
            return []
        singles = [self.arguments.get(name) for name in ("column", "column_A", "column_B")]
        return [name for name in singles if name is not None] + list(self.arguments.get("column_list", ()))


def load_suite(table: str, columns: Iterable[str], ds: date, settings: Settings) -> list[Expected]:
    """The table's expectations for the night `ds`, column patterns spelled out over `columns`.

    Raises
    ------
    ConfigError
        The file is missing, not YAML, or has an entry that can't be understood; file and entry are named.
    """
    path = suite_file(table, settings)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no expectations for {table}: {path} does not exist") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, list):
        raise ConfigError(f"{path} must hold a list of expectations, each with `expect: expect_…`")
    end = datetime.combine(ds, time()) + timedelta(days=1)
    known = {
        "ds": datetime.combine(ds, time()),
        "ds_end": end,
        "max_rejected_share": settings.profile.quality.max_rejected_share,
    }
    suite: list[Expected] = []
    for number, written in enumerate(content, start=1):
        where = f"{path}: entry {number}"
        try:
            entry = _Entry.model_validate(written)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"]))
            raise ConfigError(f"{where}: {field + ': ' if field else ''}{first['msg']}") from None
        where = f"{where} ({entry.expect})"
        arguments = {name: _filled(value, known, where) for name, value in (entry.model_extra or {}).items()}
        suite += [
            Expected(entry.expect, {**arguments, **column}, entry.severity, entry.optional, entry.note, where)
            for column in _spelled_out(arguments.get("column"), columns)
        ]
    return suite


def suite_file(table: str, settings: Settings) -> Path:
    """The profile's own file for a table where it has one, else the shipped one."""
    own = settings.profile.quality.expectations
    if own is None:
        return SHIPPED / f"{table}.yaml"
    folder = settings.profile_path.parent / own
    if not folder.is_dir():
        raise ConfigError(f"{settings.profile_path}: quality.expectations: {folder} is not a folder")
    path = folder / f"{table}.yaml"
    return path if path.is_file() else SHIPPED / f"{table}.yaml"


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
    if not isinstance(column, str) or not any(sign in column for sign in "*?["):
        return [{}]
    return [{"column": name} for name in columns if fnmatchcase(name, column)] or [{}]
