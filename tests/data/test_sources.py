"""Sources of every form, read through a profile's mapping into canonical rows."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from recommender.config.profile import Engine, Profile
from recommender.data.session import working_database
from recommender.data.sources import collect_unparsable, open_source, out_of_range
from recommender.errors import SourceError

ROWS = "who,what,when\nann,lamp,2020-01-01T10:00:00Z\nbob,desk,2020-01-02\n"
KEPT = [("ann", "lamp", "2020-01-01 10:00:00"), ("bob", "desk", "2020-01-02 00:00:00")]
MAPPING = {"user_id": "who", "item_id": "what", "ts": "when"}


@pytest.fixture
def connection(tmp_path: Path):
    with working_database(Engine(threads=2), tmp_path / "scratch") as opened:
        yield opened


def profile(path: str | None = "e.csv", columns: dict[str, Any] | None = None, **origin: Any) -> Profile:
    place = {} if path is None else {"path": path}
    return Profile.model_validate(
        {
            "name": "shop",
            "events": {**place, **origin, "columns": {**MAPPING, **(columns or {})}},
            "items": {"path": "items.csv", "columns": {"item_id": "id"}},
        }
    )


def events(connection: duckdb.DuckDBPyConnection, data: Path, *args: Any, **origin: Any) -> list[tuple]:
    open_source(connection, profile(*args, **origin), "events", data)
    return connection.execute("select user_id, item_id, cast(ts as varchar) from events").fetchall()


def column(connection: duckdb.DuckDBPyConnection, data: Path, how: Any, **origin: Any) -> list[Any]:
    """The values of one further column, mapped so."""
    open_source(connection, profile(columns={"extra": how}, **origin), "events", data)
    return [value for (value,) in connection.execute("select extra from events").fetchall()]


def unparsable(connection: duckdb.DuckDBPyConnection, table: str = "events") -> list[tuple[str, str]]:
    collect_unparsable(connection, table)
    return connection.execute(f"select raw, reason from {table}_unparsable").fetchall()


def zstd(text: bytes) -> bytes:
    return pa.compress(text, codec="zstd", asbytes=True)


# Files


@pytest.mark.parametrize(
    ("name", "content", "origin"),
    [
        ("e.csv", ROWS.encode(), {}),
        ("e.csv", b"\xef\xbb\xbf" + ROWS.encode(), {}),
        ("e.csv", ROWS.replace("\n", "\r\n").encode(), {}),
        ("e.csv", ROWS.replace("\n", "\r").encode(), {}),
        ("e.csv", ROWS.replace("Z\n", "Z\r\n").encode(), {}),
        ("e.csv", ROWS.encode("utf-16"), {"encoding": "utf-16"}),
        ("e.csv", b"\xfe\xff" + ROWS.encode("utf-16-be"), {"encoding": "utf-16"}),
        ("e.csv", ROWS.rstrip("\n").encode(), {}),
        ("e.csv.gz", gzip.compress(ROWS.encode()), {}),
        ("e.csv.gz", gzip.compress(ROWS[:20].encode()) + gzip.compress(ROWS[20:].encode()), {}),
        ("e.csv.zst", zstd(ROWS.encode()), {}),
        ("e.dat.gz", gzip.compress(ROWS.replace(",", "\t").encode()), {"format": "csv", "delimiter": "\t"}),
        ("e.tsv", ROWS.replace(",", "\t").encode(), {}),
        ("e.csv", ROWS.replace(",", "::").encode(), {"delimiter": "::"}),
        ("e.csv", ROWS.replace(",", "<||>").encode(), {"delimiter": "<||>"}),
        ("e.csv", ROWS.partition("\n")[2].encode(), {"header": False, "names": ("who", "what", "when")}),
        ("[odd] name?.csv", ROWS.encode(), {}),
        (
            "e.jsonl",
            b"".join(json.dumps(dict(zip(("who", "what", "when"), row, strict=True))).encode() + b"\n" for row in KEPT),
            {},
        ),
        (
            "e.ndjson.gz",
            gzip.compress(
                b'{"who":"ann","what":"lamp","when":"2020-01-01T10:00:00Z"}\n\n{"who":"bob","what":"desk","when":"2020-01-02"}'
            ),
            {},
        ),
    ],
)
def test_a_file_of_any_form_gives_the_same_rows(connection, tmp_path: Path, name, content, origin) -> None:
    (tmp_path / name).write_bytes(content)
    assert events(connection, tmp_path, name, **origin) == KEPT
    assert unparsable(connection) == []


def test_without_a_header_columns_have_numbers(connection, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(ROWS.partition("\n")[2])
    mapping = {"user_id": "column0", "item_id": "column1", "ts": "column2"}
    assert events(connection, tmp_path, "e.csv", mapping, header=False) == KEPT


def test_latin_1_is_read_when_the_profile_says_so(connection, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_bytes("who,what,when,extra\na,b,2020-01-01,Beyoncé\n".encode("latin-1"))
    assert column(connection, tmp_path, "extra", encoding="latin-1") == ["Beyoncé"]
    with pytest.raises(SourceError, match=r"e\.csv line 2 is not utf-8.*say `encoding: latin-1`") as caught:
        column(connection, tmp_path, "extra")
    assert "\n" not in str(caught.value)


def test_one_damaged_line_is_put_aside_with_its_number(connection, tmp_path: Path) -> None:
    good = "".join(f"u{n},lamp,2020-01-01\n" for n in range(2000)).encode()
    (tmp_path / "e.csv").write_bytes(b"who,what,when\n" + good + b"\xff\xfe,lamp,2020-01-01\n" + good + b"x,y\n")
    assert len(events(connection, tmp_path)) == 4000
    assert unparsable(connection) == [
        ("x,y", "line 4003 unparsable: Expected Number of Columns: 3 Found: 2"),
        ("\\xff\\xfe,lamp,2020-01-01", "line 2002 unparsable: not utf-8; is another `encoding` right?"),
    ]


def test_quotes_mean_nothing_when_the_profile_says_so(connection, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text('who,what,when,extra\nann,lamp,2020-01-01,"12" single\n')
    assert column(connection, tmp_path, "extra", quote="") == ['"12" single']


def test_quoted_values_hold_anything(connection, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text('who,what,when\n"a\nb, ""c""",lamp,2020-01-01\n')
    assert events(connection, tmp_path) == [('a\nb, "c"', "lamp", "2020-01-01 00:00:00")]


def test_files_with_other_columns_are_united_by_name(connection, tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("who,what,when,extra\nann,lamp,2020-01-01,x\n")
    (tmp_path / "2.csv").write_text("when,who,what\n2020-01-02,bob,desk\nshort,row\n")
    open_source(connection, profile("*.csv", {"extra": "extra"}), "events", tmp_path)
    rows = connection.execute("select user_id, item_id, extra from events order by ts").fetchall()
    assert rows == [("ann", "lamp", "x"), ("bob", "desk", None)]
    assert unparsable(connection) == [
        ("short,row", "line 3 of 2.csv unparsable: Expected Number of Columns: 3 Found: 2")
    ]


def test_a_folder_is_all_its_files_and_key_value_folders_are_columns(connection, tmp_path: Path) -> None:
    for country, line in (("UK", "ann,lamp,2020-01-01T10:00:00Z"), ("1", "bob,desk,2020-01-02")):
        folder = tmp_path / "in" / f"land={country}"
        folder.mkdir(parents=True)
        (folder / "part.csv.gz").write_bytes(gzip.compress(f"who,what,when\n{line}\n".encode()))
        (folder / "_SUCCESS").touch()
        (folder / ".part.csv.gz.crc").write_text("crc")
    (tmp_path / "in" / "readme.txt").write_text("not data")
    for path in ("in", "in/*/*.gz", "in/**/*.gz"):
        open_source(connection, profile(path, {"country": "land"}), "events", tmp_path)
        rows = connection.execute("select user_id, country from events order by all").fetchall()
        assert rows == [("ann", "UK"), ("bob", "1")]


@pytest.mark.parametrize("where", ["one.parquet", "in/*.parquet", "in"])
def test_parquet_in_one_file_or_several(connection, tmp_path: Path, where: str) -> None:
    first = pa.table(
        {
            "who": ["ann"],
            "what": pa.array([7], pa.int32()),
            "when": pa.array([datetime(2020, 1, 1, 10, tzinfo=UTC)], pa.timestamp("ns", "Asia/Tokyo")),
        }
    )
    second = pa.table(
        {
            "when": pa.array([datetime(2020, 1, 2)], pa.timestamp("ns")),
            "what": pa.array([2**40]),
            "who": ["bob"],
            "more": [1.5],
        }
    )
    (tmp_path / "in").mkdir()
    pq.write_table(first, tmp_path / "in" / "1.parquet")
    pq.write_table(first, tmp_path / "one.parquet")
    expected = [("ann", "7", "2020-01-01 10:00:00")]
    if where != "one.parquet":
        pq.write_table(second, tmp_path / "in" / "2.parquet")
        expected.append(("bob", str(2**40), "2020-01-02 00:00:00"))
    assert events(connection, tmp_path, where) == expected


def test_ids_that_were_read_as_decimals_are_whole_again(connection, tmp_path: Path) -> None:
    frame = pd.DataFrame({"who": [1.0, None], "what": [2.5, 10.0], "when": ["2020-01-01"] * 2})
    frame.to_parquet(tmp_path / "e.parquet")
    assert [row[:2] for row in events(connection, tmp_path, "e.parquet")] == [("1", "2.5"), (None, "10")]


def test_json_lines_keep_bad_lines_and_reach_nested_values(connection, tmp_path: Path) -> None:
    lines = [
        '{"who":"ann","what":{"id":7},"when":1577872800,"tags":["a"," b","a",""]}',
        "{broken",
        "",
        '["ann"]',
        '{"who":"bob","what":{"id":8,"new":1},"when":1577872800.5,"tags":null,"who":"twice"}',
    ]
    (tmp_path / "e.jsonl").write_text("\n".join(lines))
    columns = {"item_id": {"sql": "what.id"}, "ts": {"column": "when", "unit": "seconds"}}
    columns["extra"] = {"column": "tags", "type": "list"}
    open_source(connection, profile("e.jsonl", columns), "events", tmp_path)
    rows = connection.execute("select user_id, item_id, extra, raw from events").fetchall()
    assert rows == [("ann", "7", ["a", "b"], lines[0]), ("bob", "8", None, lines[4])]
    assert unparsable(connection) == [
        ("{broken", "line 2 unparsable: not valid JSON"),
        ('["ann"]', "line 4 unparsable: not a JSON object"),
    ]


def test_json_keys_of_late_rows_are_found(connection, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("recommender.data.sources.SAMPLE", 1)
    row = {"who": "ann", "what": "lamp", "when": "2020-01-01"}
    (tmp_path / "e.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps({**row, 'extra': 'x'})}\n")
    assert column(connection, tmp_path, "extra", path="e.jsonl") == [None, "x"]
    with pytest.raises(SourceError, match="no column 'exta'.*did you mean 'extra'"):
        column(connection, tmp_path, "exta", path="e.jsonl")


def test_bad_json_lines_of_several_files_say_which(connection, tmp_path: Path) -> None:
    good = json.dumps({"who": "ann", "what": "lamp", "when": "2020-01-01"})
    (tmp_path / "1.jsonl").write_text(f"{good}\n{good}\nbad\n")
    (tmp_path / "2.jsonl").write_text(f"{good}\nworse\n")
    assert len(events(connection, tmp_path, "*.jsonl")) == 3
    assert [reason for _, reason in unparsable(connection)] == [
        "line 3 of 1.jsonl unparsable: not valid JSON",
        "line 2 of 2.jsonl unparsable: not valid JSON",
    ]


@pytest.mark.parametrize("path", ["memory://shop/e.csv.gz", "memory://shop/*.gz", "memory://shop", "memory://shop/**"])
def test_any_place_that_fsspec_reads(connection, tmp_path: Path, path: str) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/shop/e.csv.gz", gzip.compress(ROWS.encode()))
    try:
        assert events(connection, tmp_path, path) == KEPT
        with pytest.raises(SourceError, match=r"no file matches memory://shop/no\.csv"):
            events(connection, tmp_path, "memory://shop/no.csv")
    finally:
        memory.rm("/shop", recursive=True)


def test_a_file_url_is_a_file(connection, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(ROWS)
    assert events(connection, Path("elsewhere"), f"file://{tmp_path}/e.csv") == KEPT


@pytest.mark.parametrize(
    ("path", "message"),
    [("s3://bucket/e.csv", "[Ii]nstall s3fs"), ("nowhere://e.csv", "Protocol not known: nowhere")],
)
def test_an_unreachable_url_is_one_line(connection, tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(SourceError, match=rf"cannot read {path}: .*{message}.*events\.path of profile shop"):
        events(connection, tmp_path, path)


def test_a_row_limit_reads_no_more(connection, tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text(ROWS)
    assert events(connection, tmp_path, limit=1) == KEPT[:1]


# The mapping


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


# Side tables


def items(connection: duckdb.DuckDBPyConnection, data: Path, joins: list[dict], columns: dict) -> list[tuple]:
    source = {"path": "items.csv", "joins": joins, "columns": {"item_id": "id", **columns}}
    shop = Profile.model_validate({"name": "shop", "events": {"path": "e.csv", "columns": MAPPING}, "items": source})
    open_source(connection, shop, "items", data)
    return connection.execute("select * exclude (raw) from items").fetchall()


AUDIO = {"name": "audio", "path": "audio.csv", "on": {"fold(title)": "fold(artist)"}}
AUDIO |= {"columns": {"energy": "avg(energy::double)", "kinds": "list(kind order by kind)"}}


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    (tmp_path / "items.csv").write_text("id,title,energy\n1,Beyoncé,own\n2,Nobody,own\n3,,own\n4,BEYONCE!,own\n")
    (tmp_path / "audio.csv").write_text("artist,energy,kind\nbeyoncé,0.2,b\nBeyonce,0.4,a\n,9,z\nQueen,1,q\n")
    return tmp_path


def test_a_side_table_adds_columns_and_never_rows(connection, catalogue: Path) -> None:
    columns = {"e": {"sql": "audio.energy", "type": "number"}, "kinds": {"sql": "audio.kinds", "type": "list"}}
    rows = items(connection, catalogue, [AUDIO], {**columns, "own": {"sql": "energy"}})
    expected = pytest.approx(0.3)
    assert rows == [
        ("1", expected, ["a", "b"], "own"),
        ("2", None, None, "own"),
        ("3", None, None, "own"),  # a key that is null meets nothing
        ("4", expected, ["a", "b"], "own"),
    ]
    raw = connection.execute("select raw from items limit 1").fetchall()[0][0]
    assert json.loads(raw) == {"id": "1", "title": "Beyoncé", "energy": "own"}


def test_rows_stay_in_the_order_of_the_source(connection, tmp_path: Path) -> None:
    """Whatever the join's plan: a side table larger than the source is the one that is probed."""
    connection.execute(f"copy (select i as id from range(5000) t(i)) to '{tmp_path}/items.csv'")
    connection.execute(f"copy (select i as id, i as n from range(300000) t(i)) to '{tmp_path}/n.parquet'")
    join = {"name": "n", "path": "n.parquet", "on": {"id": "id"}, "columns": {"n": "sum(n)"}}
    items(connection, tmp_path, [join], {"n": {"sql": "n.n", "type": "integer"}})
    numbered = "select n, row_number() over () - 1 as place from items"
    assert connection.execute(f"select count(*) from ({numbered}) where n <> place").fetchall() == [(0,)]


def test_keys_of_other_types_meet_as_text(connection, catalogue: Path) -> None:
    pq.write_table(pa.table({"item": [1, 4], "n": [10, 40]}), catalogue / "n.parquet")
    join = {"name": "n", "path": "n.parquet", "on": {"id": "item"}, "columns": {"n": "sum(n)"}}
    rows = items(connection, catalogue, [join], {"n": {"sql": "n.n", "type": "integer"}})
    assert rows == [("1", 10), ("2", None), ("3", None), ("4", 40)]


def test_side_tables_have_side_tables_and_reach_earlier_ones(connection, catalogue: Path) -> None:
    (catalogue / "tagged.csv").write_text("item,tag\n1,7\n1,8\n4,8\n")
    (catalogue / "tags.csv").write_text("tag,name\n7,rock\n8,pop\n")
    (catalogue / "moods.csv").write_text("tag,mood\npop,happy\n")
    names = {"name": "names", "path": "tags.csv", "on": {"tag": "tag"}, "columns": {"name": "any_value(name)"}}
    tags = {"name": "tags", "path": "tagged.csv", "joins": [names], "on": {"id": "item"}}
    tags |= {"columns": {"all": "list(names.name order by names.name)", "first": "min(names.name)"}}
    mood = {"name": "mood", "path": "moods.csv", "on": {"tags.first": "tag"}, "columns": {"mood": "any_value(mood)"}}
    columns = {"tags": {"sql": "tags.all", "type": "list"}, "mood": {"sql": "mood.mood"}}
    rows = items(connection, catalogue, [tags, mood], columns)
    assert rows == [("1", ["pop", "rock"], "happy"), ("2", None, None), ("3", None, None), ("4", ["pop"], "happy")]


def test_unparsable_rows_of_side_tables_are_kept_too(connection, catalogue: Path) -> None:
    (catalogue / "audio.csv").write_text("artist,energy,kind\nqueen,1\n")
    items(connection, catalogue, [AUDIO], {})
    assert unparsable(connection, "items") == [
        ("queen,1", "line 2 of audio.csv unparsable: Expected Number of Columns: 3 Found: 2")
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "audo.csv"}, r"no file matches .*audo\.csv \(items\.joins\.audio\.path of profile shop\)"),
        ({"on": {"fold(title)": "fold(arist)"}}, r"items\.joins\.audio\.on: .*\"arist\".*artist"),
        ({"on": {"titel": "artist"}}, r"items\.joins\.audio\.on\.titel: .*\"titel\".*title"),
        ({"columns": {"energy": "avg(enrgy)"}}, r"items\.joins\.audio\.columns\.energy: .*\"enrgy\".*energy"),
        ({"columns": {"energy": "energy"}}, r"items\.joins\.audio\.columns\.energy: .*energy.*"),
        ({"name": "title"}, r"items\.joins\.title: the source has a column 'title' itself"),
    ],
)
def test_a_side_table_that_does_not_fit_is_named(connection, catalogue: Path, change: dict, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        items(connection, catalogue, [{**AUDIO, **change}], {})
    assert "\n" not in str(caught.value)


# Databases


@pytest.fixture
def shop_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> sa.Engine:
    monkeypatch.setenv("SHOP_DATABASE", database_url)
    engine = sa.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)
    with engine.begin() as database:
        database.execute(sa.text("create schema shop"))
        database.execute(
            sa.text(
                """create table shop."Orders"
                   (who uuid, what numeric, "when" timestamptz, tags text[], more jsonb, n int)"""
            )
        )
        database.execute(
            sa.text(
                """insert into shop."Orders" values
                   ('00000000-0000-0000-0000-000000000001', 12345678901234567890, '2020-01-01 10:00+02',
                    '{b,a,b}', '{"k": 1}', null),
                   (null, null, null, null, null, 3)"""
            )
        )
    return engine


def test_a_table_of_a_database(connection, tmp_path: Path, shop_database) -> None:
    columns = {"tags": {"column": "tags", "type": "list"}, "k": {"sql": "more::json ->> 'k'"}, "n": {"column": "n"}}
    origin = {"database": "SHOP_DATABASE", "table": "shop.Orders"}
    open_source(connection, profile(None, columns, **origin), "events", tmp_path)
    assert connection.execute("select * exclude (ts, raw), cast(ts as varchar) from events").fetchall() == [
        ("00000000-0000-0000-0000-000000000001", "12345678901234567890", ["b", "a"], "1", None, "2020-01-01 08:00:00"),
        (None, None, None, None, "3", None),
    ]
    collect_unparsable(connection, "events")


def test_a_query_in_batches_and_with_a_limit(connection, tmp_path: Path, shop_database, monkeypatch) -> None:
    monkeypatch.setattr("recommender.data.sql_source._BATCH", 10)
    query = """select 'u' || n as who, n as what, now() as "when", case when n > 15 then n end as late
               from generate_series(1, 25) n"""
    origin = {"database": "SHOP_DATABASE", "query": query}
    assert [row[0] for row in events(connection, tmp_path, None, **origin)] == [f"u{n}" for n in range(1, 26)]
    assert connection.execute("select max(late) from events_source").fetchall() == [("25",)]
    assert len(events(connection, tmp_path, None, limit=12, **origin)) == 12
    assert events(connection, tmp_path, None, database="SHOP_DATABASE", query=query + " where n > 99") == []


@pytest.mark.parametrize(
    ("url", "origin", "message"),
    [
        ("", {"table": "shop.Orders"}, "set SHOP_DATABASE to its SQLAlchemy URL"),
        ("nonsense", {"table": "shop.Orders"}, "SHOP_DATABASE is no SQLAlchemy URL"),
        ("nosuch://a/b", {"table": "shop.Orders"}, "SHOP_DATABASE: SQLAlchemy knows no such database"),
        ("postgresql://bob:s3cret@127.0.0.1:1/x", {"table": "orders"}, "cannot read orders of database SHOP_DATABASE"),
        (None, {"table": "orders"}, 'cannot read orders of database SHOP_DATABASE: relation "orders" does not exist'),
        (None, {"query": 'select wo from shop."Orders"'}, 'cannot read the query of .* column "wo" does not exist'),
        (None, {"query": "select lo_create(0) as who"}, "read-only transaction"),
        (None, {"query": "select 1 as who, 2 as who"}, "two columns named 'who'"),
        (None, {"query": "select 1 as who"}, "has no column 'what'"),
    ],
)
def test_a_database_that_refuses_is_one_line(
    connection, tmp_path: Path, shop_database, monkeypatch, url: str | None, origin: dict, message: str
) -> None:
    if url is not None:
        monkeypatch.setenv("SHOP_DATABASE", url)
    with pytest.raises(SourceError, match=message) as caught:
        events(connection, tmp_path, None, database="SHOP_DATABASE", **origin)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with shop_database.connect() as database:
        assert database.execute(sa.text('select count(*) from shop."Orders"')).scalar() == 2


# Open quotes


def test_rows_hidden_by_an_open_quote_are_refused(connection, tmp_path: Path) -> None:
    rows = [f"u{n},lamp,2020-01-01\n" for n in range(200_000)]
    rows[500] = '"open,lamp,2020-01-01\n'
    (tmp_path / "e.csv").write_text("who,what,when\n" + "".join(rows))
    assert len(events(connection, tmp_path)) < 200_000
    with pytest.raises(SourceError, match=r"e\.csv: a quote that opens near line 502 is never closed and hides rows"):
        collect_unparsable(connection, "events")
    assert len(events(connection, tmp_path, quote="")) == 200_000
    assert unparsable(connection) == []


def test_an_open_quote_that_hides_nothing_costs_its_own_rows(connection, tmp_path: Path) -> None:
    rows = [f'"u{n}","la\n\nmp","2020-01-01"\n' for n in range(50_000)]
    rows[500] = '"open,lamp,2020-01-01\n'
    (tmp_path / "e.csv").write_text("who,what,when\n" + "".join(rows))
    kept = len(events(connection, tmp_path))
    lost = unparsable(connection)
    assert kept == 50_000 - 2
    assert [raw for raw, _ in lost] == ['"open,lamp,2020-01-01', '"u501","la', 'mp","2020-01-01"']
