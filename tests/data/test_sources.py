"""Files of every form, read as they stand."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.data.sources import collect_unparsable, open_source
from recommender.errors import SourceError
from tests.data.sources import KEPT, ROWS, column, events, profile, unparsable


def packed(text: bytes) -> bytes:
    """Gzip without the time of day: tests are named by the bytes, and alike in every process that runs them."""
    return gzip.compress(text, mtime=0)


def zstd(text: bytes) -> bytes:
    return pa.compress(text, codec="zstd", asbytes=True)


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
        ("e.csv.gz", packed(ROWS.encode()), {}),
        ("e.csv.gz", packed(ROWS[:20].encode()) + packed(ROWS[20:].encode()), {}),
        ("e.csv.zst", zstd(ROWS.encode()), {}),
        ("e.dat.gz", packed(ROWS.replace(",", "\t").encode()), {"format": "csv", "delimiter": "\t"}),
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
            packed(
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
        (folder / "part.csv.gz").write_bytes(packed(f"who,what,when\n{line}\n".encode()))
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


def test_a_column_may_lie_inside_another(connection, tmp_path: Path) -> None:
    row = {"who": {"id": 7, "name": {"last": "Day"}}, "what": "lamp", "when": "2020-01-01"}
    (tmp_path / "e.jsonl").write_text(json.dumps(row))
    columns = {"user_id": {"column": "who.id"}, "extra": {"column": "who.name.last"}}
    open_source(connection, profile("e.jsonl", columns), "events", tmp_path)
    assert connection.execute("select user_id, extra, raw from events").fetchall() == [("7", "Day", json.dumps(row))]
    with pytest.raises(SourceError, match=r"no column 'who\.nam'"):
        open_source(connection, profile("e.jsonl", {"extra": {"column": "who.nam"}}), "events", tmp_path)


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
    memory.pipe("/shop/e.csv.gz", packed(ROWS.encode()))
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
