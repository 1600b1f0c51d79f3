"""What the expectations on a night's tables found, kept in PostgreSQL."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Literal

import psycopg

Severity = Literal["fail", "warn"]


@dataclass(frozen=True)
class CheckResult:
    """What became of one expectation."""

    table: str
    expectation: str
    column: str | None
    severity: Severity
    success: bool
    observed: str
    """`3 of 605 rows` or the value found; empty where nothing could be measured."""
    detail: str
    """The requirement in words, and where it does not hold, what was found instead and why it must hold."""


@dataclass(frozen=True)
class TableResult:
    """The last night's checks of one table."""

    ds: date
    table: str
    passed: int
    checked: int
    broken: tuple[str, ...]
    """`FAIL …` or `warn …`, one an expectation that does not hold."""


def record(connection: psycopg.Connection, ds: date, results: Iterable[CheckResult]) -> None:
    """Replace the night's results of the tables that these are about."""
    tables: dict[str, list[CheckResult]] = defaultdict(list)
    for result in results:
        tables[result.table].append(result)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute("delete from reco.quality_results where ds = %s and table_name = any (%s)", [ds, list(tables)])
        cursor.executemany(
            """insert into reco.quality_results
                   (ds, table_name, position, expectation, column_name, severity, success, observed, detail)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s)""",
            [
                (ds, table, place, one.expectation, one.column, one.severity, one.success, one.observed, one.detail)
                for table, found in tables.items()
                for place, one in enumerate(found, start=1)
            ],
        )


def last_results(connection: psycopg.Connection) -> list[TableResult]:
    """Of each table, the newest night that was checked."""
    rows = connection.execute(
        """select ds, table_name, count(*) filter (where success), count(*),
                  coalesce(array_agg(case severity when 'fail' then 'FAIL ' else 'warn ' end || detail
                                     order by severity, position) filter (where not success), '{}')
           from reco.quality_results as r
           where ds = (select max(ds) from reco.quality_results where table_name = r.table_name)
           group by ds, table_name
           order by ds, table_name"""
    ).fetchall()
    return [TableResult(ds, table, passed, checked, tuple(broken)) for ds, table, passed, checked, broken in rows]
