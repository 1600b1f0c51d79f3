"""From a source's columns to canonical ones."""

import json
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.data.sources import open_source, out_of_range
from recommender.errors import SourceError
from tests.data.sources import ROWS, column, events, profile

TIMES = [
    ("2020-07-01T10:00:00Z", {}, "2020-07-01 10:00:00"),
    ("2020-07-01 10:00:00+02:00", {}, "2020-07-01 08:00:00"),
    ("2020-07-01", {}, "2020-07-01 00:00:00"),
    ("2020-07-01 10:00", {"zone": "Europe/Berlin"}, "2020-07-01 08:00:00"),
    ("2020-01-01 10:00", {"zone": "Europe/Berlin"}, "2020-01-01 09:00:00"),
    ("2020-01-01", {"zone": "America/New_York"}, "2020-01-01 05:00:00"),
    ("2020-07-01T10:00:00Z", {"zone": "Europe/Berlin"}, "2020-07-01 10:00:00"),
    ("2020-07-01T10:00:00-0500", {"zone": "Europe/Berlin"}, "2020-07-01 15:00:00"),
    ("1593597600", {"unit": "seconds"}, "2020-07-01 10:00:00"),
    ("1593597600.25", {"unit": "seconds"}, "2020-07-01 10:00:00.25"),
    ("1593597600250", {"unit": "milliseconds"}, "2020-07-01 10:00:00.25"),
    ("1593597600250001", {"unit": "microseconds"}, "2020-07-01 10:00:00.250001"),
    ("-414547200", {"unit": "seconds"}, "1956-11-12 00:00:00"),
    ("31.12.2020 23:30", {"format": "%d.%m.%Y %H:%M"}, "2020-12-31 23:30:00"),
    ("31.12.2020 23:30", {"format": "%d.%m.%Y %H:%M", "zone": "Asia/Tokyo"}, "2020-12-31 14:30:00"),
    ("31.12.2020 +0200", {"format": "%d.%m.%Y %z"}, "2020-12-30 22:00:00"),
    ("20200701", {"format": "%Y%m%d"}, "2020-07-01 00:00:00"),
    ("yesterday", {}, None),
    ("infinity", {}, None),
    ("2020-02-30", {}, None),
    ("99999999999999999999", {"unit": "seconds"}, None),
    ("nan", {"unit": "seconds"}, None),
    ("30.02.2020", {"format": "%d.%m.%Y"}, None),
    ("", {}, None),
]


@pytest.mark.parametrize(("text", "how", "expected"), TIMES)
def test_times(connection, tmp_path: Path, text: str, how: dict, expected: str | None) -> None:
    (tmp_path / "e.csv").write_text(f"who,what,when\nann,lamp,{text}\n")
    assert events(connection, tmp_path, "e.csv", {"ts": {"column": "when", **how}})[0][2] == expected


def test_times_in_parts(connection, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("who,what,y,m,d,h\na,b,2020,2,29,23\na,b,2020,2,30,1\na,b,2020,,1,1\na,b,x,1,1,1\n")
    parts = {"year": "y", "month": "m", "day": "d"}
    hours = events(connection, tmp_path, "e.csv", {"ts": {"parts": {**parts, "hour": "h"}}})
    assert [ts for *_, ts in hours] == ["2020-02-29 23:00:00", None, None, None]
    local = events(connection, tmp_path, "e.csv", {"ts": {"parts": parts, "zone": "Europe/Berlin"}})
    assert local[0][2] == "2020-02-28 23:00:00"
    with pytest.raises(SourceError, match=r"no column 'dd' \(events\.columns\.ts\.parts\.day of profile shop\)"):
        events(connection, tmp_path, "e.csv", {"ts": {"parts": {**parts, "day": "dd"}}})


def test_native_times_know_their_zone(connection, tmp_path: Path) -> None:
    when = pa.array([datetime(2020, 7, 1, 10)], pa.timestamp("ms"))
    pq.write_table(pa.table({"who": ["a"], "what": ["b"], "when": when}), tmp_path / "e.parquet")
    for how, expected in (({}, "10:00:00"), ({"zone": "Europe/Berlin"}, "08:00:00"), ({"unit": "seconds"}, "10:00:00")):
        rows = events(connection, tmp_path, "e.parquet", {"ts": {"column": "when", **how}})
        assert rows[0][2] == f"2020-07-01 {expected}"


def test_numbers_where_a_time_should_be_are_refused_with_the_cure(connection, tmp_path: Path) -> None:
    pq.write_table(pa.table({"who": ["a"], "what": ["b"], "when": [1593597600]}), tmp_path / "e.parquet")
    with pytest.raises(SourceError, match="events.columns.ts is a time, but .* say `unit: seconds`"):
        events(connection, tmp_path, "e.parquet")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("x", ["a|b", None, "x"]),
        ({"value": "it's"}, ["it's"] * 3),
        ({"value": 2.5, "type": "number"}, [2.5] * 3),
        ({"value": date(2020, 1, 31), "type": "time"}, [datetime(2020, 1, 31)] * 3),
        ({"sql": "upper(x)"}, ["A|B", None, "X"]),
        ({"sql": "fold(n)"}, ["beyonce feat jay z", "1", None]),
        ({"column": "x", "separator": "|"}, [["a", "b"], None, ["x"]]),
        ({"column": "x", "type": "list"}, [["a|b"], None, ["x"]]),
        ({"sql": "string_split(x, '|')", "type": "list"}, [["a", "b"], None, ["x"]]),
        ({"column": "n", "type": "number"}, [None, 1.0, None]),
        ({"column": "y", "type": "integer"}, [3_000_000_000, 7, None]),
        ({"column": "y", "type": "integer", "max": 100}, [None, 7, None]),
        ({"column": "y", "type": "number", "min": 8}, [3e9, None, None]),
    ],
)
def test_a_column_is_a_column_a_constant_or_an_expression(connection, tmp_path: Path, how, expected) -> None:
    (tmp_path / "e.csv").write_text(
        'who,what,when,x,n,y\n1,1,1,a|b,"Beyoncé  feat. JAY-Z",3000000000\n1,1,1,  ,1,7\n1,1,1,x,,nan\n'
    )
    assert column(connection, tmp_path, how) == expected


def test_list_values_are_trimmed_in_order_and_met_once(connection, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("who,what,when,x\n1,1,1, b ;a;;b;\n1,1,1,;;\n")
    assert column(connection, tmp_path, {"column": "x", "separator": ";"}) == [["b", "a"], None]


def test_numbers_outside_their_bounds_are_counted(connection, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("who,what,when,x\n" + "".join(f"1,1,1,{x}\n" for x in (-1, 0, 5, 99, "", "x")))
    mapped = profile(columns={"extra": {"column": "x", "type": "number", "min": 0, "max": 10}})
    open_source(connection, mapped, "events", tmp_path)
    assert out_of_range(connection, mapped, "events") == {"extra": 2}


def test_a_source_row_travels_as_json(connection, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("who,what,when,unmapped\nann,lamp,2020-01-01,x\n")
    open_source(connection, profile(), "events", tmp_path)
    ((raw,),) = connection.execute("select raw from events").fetchall()
    assert json.loads(raw) == {"who": "ann", "what": "lamp", "when": "2020-01-01", "unmapped": "x"}
    plan = connection.execute("explain select user_id from events").fetchall()[0][1]
    assert "to_json" not in plan
    assert "unmapped" not in plan


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"extra": "wen"}, r"no column 'wen' \(events\.columns\.extra of profile shop\); did you mean 'when'"),
        ({"extra": {"sql": "wen || 1"}}, r"profile shop, events\.columns\.extra: Binder Error.*\"wen\".*when"),
        ({"extra": {"sql": "substr("}}, r"profile shop, events\.columns\.extra: Parser Error"),
        ({"extra": {"sql": "sum(when)"}}, r"profile shop, events\.columns\.extra: "),
        ({"ts": {"column": "when", "format": "%Q"}}, r"profile shop, events\.columns\.ts: .*%Q"),
    ],
)
def test_a_mapping_that_does_not_fit_is_named(connection, tmp_path: Path, columns: dict, message: str) -> None:
    (tmp_path / "e.csv").write_text(ROWS)
    with pytest.raises(SourceError, match=message) as caught:
        events(connection, tmp_path, "e.csv", columns)
    assert "\n" not in str(caught.value)
