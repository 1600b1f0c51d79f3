"""Results of the expectations in PostgreSQL."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import psycopg
import pytest

from recommender.config.settings import Settings, load_settings
from recommender.storage.postgres import READER, connect
from recommender.storage.quality_results import CheckResult, TableResult, last_results, record

FRIDAY, SATURDAY = date(2026, 1, 9), date(2026, 1, 10)
GOOD = CheckResult("events", "expect_column_values_to_be_between", "ts", "fail", True, "0 of 3 rows", "ts must …")
WARNED = replace(GOOD, severity="warn", success=False, detail="ts is late")
FAILED = replace(GOOD, success=False, detail="ts is null")


@pytest.fixture
def settings(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    return load_settings("synthetic")


def test_the_last_night_of_each_table_is_told(settings: Settings) -> None:
    with connect(settings) as connection:
        record(connection, FRIDAY, [FAILED, replace(GOOD, table="items")])
        record(connection, SATURDAY, [WARNED, GOOD, FAILED])
        assert last_results(connection) == [
            TableResult(FRIDAY, "items", 1, 1, ()),
            TableResult(SATURDAY, "events", 1, 3, ("FAIL ts is null", "warn ts is late")),
        ]


def test_a_night_checked_again_replaces_its_tables(settings: Settings) -> None:
    with connect(settings) as connection:
        record(connection, FRIDAY, [FAILED, FAILED, replace(FAILED, table="items")])
        record(connection, FRIDAY, [GOOD])
        record(connection, FRIDAY, [])
        assert [(found.table, found.passed, found.checked) for found in last_results(connection)] == [
            ("events", 1, 1),
            ("items", 0, 1),
        ]


def test_applications_may_not_read_them(settings: Settings) -> None:
    with connect(settings, READER) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select * from reco.quality_results")
