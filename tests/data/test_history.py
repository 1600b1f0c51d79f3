"""The figures that compare a night's batch with the nights before."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from recommender.data.quality.history import figures
from recommender.storage.lake import Lake

DS = date(2026, 1, 30)
FIRST = DS - timedelta(days=30)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("create table rejected_events (reason varchar)")
        yield connection


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def events(night: date, days: dict[date, int], *, removed: bool = False) -> pd.DataFrame:
    """Events of some days that land in one night."""
    times = [
        datetime(day.year, day.month, day.day, 12) + timedelta(seconds=n) for day in days for n in range(days[day])
    ]
    return pd.DataFrame(
        {
            "user_id": "ann",
            "item_id": "one",
            "ts": pd.Series(times, dtype="datetime64[us]"),
            "event_type": "play",
            "weight": pd.Series(1.0, index=range(len(times)), dtype="float32"),
            "landed": pd.Series([night] * len(times)).astype("date32[pyarrow]"),
            "removed": removed,
        }
    )


def keep(connection: duckdb.DuckDBPyConnection, *frames: pd.DataFrame) -> None:
    connection.register("frame", pd.concat([*frames, events(DS, {})], ignore_index=True))
    connection.execute(
        "create or replace table kept_events as select * replace (cast(landed as date) as landed) from frame"
    )


def a_month(ds: date = DS) -> dict[date, int]:
    """90 events on the night's weekday, 10 on others."""
    return {ds - timedelta(days=n): 90 if n % 7 == 0 else 10 for n in range(1, 31)}


@pytest.mark.parametrize(("tonight", "ratio"), [(90, 1.0), (10, 0.2), (0, 0.1), (490, 5.0)])
def test_a_day_is_compared_with_its_weekday(
    tonight: int, ratio: float, connection: duckdb.DuckDBPyConnection, lake: Lake
) -> None:
    lake.write("events", DS - timedelta(days=1), events(DS - timedelta(days=1), a_month()))
    keep(connection, events(DS, {DS: tonight}))
    assert figures(connection, lake, DS)["volume_ratio"] == pytest.approx(ratio)


def test_one_odd_day_does_not_change_what_is_usual(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    days = a_month() | {DS - timedelta(days=7): 0}
    lake.write("events", DS - timedelta(days=1), events(DS - timedelta(days=1), days))
    keep(connection, events(DS, {DS: 90}))
    assert figures(connection, lake, DS)["volume_ratio"] == pytest.approx(1)


def test_late_events_count_for_their_own_day(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    lake.write("events", DS - timedelta(days=1), events(DS - timedelta(days=1), a_month()))
    keep(connection, events(DS, {DS: 90, DS - timedelta(days=3): 500}))
    assert figures(connection, lake, DS)["volume_ratio"] == pytest.approx(1)


def test_a_night_run_again_compares_with_the_same_nights(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    lake.write("events", DS - timedelta(days=1), events(DS - timedelta(days=1), a_month()))
    lake.write("events", DS, events(DS, {DS: 90}))
    keep(connection, events(DS, {DS: 90}))
    assert figures(connection, lake, DS)["volume_ratio"] == pytest.approx(1)


def test_removed_events_leave_their_day(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    month = a_month()
    lake.write("events", DS - timedelta(days=1), events(DS - timedelta(days=1), month))
    gone = {day: 80 for day, count in month.items() if count == 90}
    keep(connection, events(DS, {DS: 10}), events(DS, gone, removed=True))
    assert figures(connection, lake, DS)["volume_ratio"] == pytest.approx(1)


def test_a_first_night_compares_with_its_own_history(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    keep(connection, events(DS, a_month() | {DS: 40}))
    assert figures(connection, lake, DS)["volume_ratio"] == pytest.approx(0.5)


def test_without_history_there_is_nothing_to_compare(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    keep(connection, events(DS, {DS: 3, DS - timedelta(days=8): 1}))
    assert figures(connection, lake, DS) == {
        "volume_ratio": None,
        "newest_event_age_hours": pytest.approx(12, abs=0.1),
        "users_ratio": None,
        "items_ratio": None,
        "unknown_users_share": 0,
        "unknown_items_share": 0,
    }
    keep(connection)
    assert figures(connection, lake, DS)["newest_event_age_hours"] is None


def test_freshness_is_measured_to_the_end_of_the_night(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    two_days_ago = DS - timedelta(days=2)
    lake.write("events", two_days_ago, events(two_days_ago, {two_days_ago: 1}))
    keep(connection)
    assert figures(connection, lake, DS)["newest_event_age_hours"] == pytest.approx(60)


def test_growth_is_measured_against_what_landed_last(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    keep(connection, events(DS, {DS: 1}))
    for night, rows in ((DS - timedelta(days=9), 1), (DS - timedelta(days=2), 4), (DS, 100)):
        lake.write("items", night, pd.DataFrame({"item_id": ["one"]}), {"rows": rows})
    connection.execute("create table kept_items as select * from range(3)")
    connection.execute("create view kept_users as select * from range(3)")
    found = figures(connection, lake, DS)
    assert found["items_ratio"] == pytest.approx(0.75)
    assert found["users_ratio"] is None


def test_events_that_name_nothing_known_are_counted(connection: duckdb.DuckDBPyConnection, lake: Lake) -> None:
    keep(connection, events(DS, {DS: 5}), events(DS, {DS: 7}, removed=True))
    connection.execute(
        """create or replace table rejected_events as
           select unnest(['unknown item', 'unknown item', 'unknown user', 'duplicate', null]) as reason"""
    )
    found = figures(connection, lake, DS)
    assert (found["unknown_items_share"], found["unknown_users_share"]) == (0.2, 0.1)
