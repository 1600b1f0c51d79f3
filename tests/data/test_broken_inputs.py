"""Deliveries that are broken in some way: each gives one clear line, or quarantine that counts every row."""

import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from recommender.data.ingest import ingest
from recommender.errors import ConfigError, RecommenderError, SourceError
from recommender.storage.lake import Lake
from tests.data.shop import FIRST, write_shop

USERS = """id
ann
bob
"o""neil, ""x\"""
"two
lines"
🎷
'; drop table events; --
"""
ITEMS = "id,name,maker,kind,made\nlamp,Lamp,lux,light,1999\ndesk,Desk,oak,wood,2001\n"
HEADER = "who,what,when\n"
ROW = "ann,lamp,2020-01-01T10:00:00Z\n"
OTHER = "bob,desk,2020-01-02T10:00:00Z\n"
MAPPING = {"user_id": "who", "item_id": "what", "ts": "when"}
SECONDS = {"columns": {**MAPPING, "ts": {"column": "when", "unit": "seconds"}}}

Content = bytes | str | Callable[[Path], None]


@dataclass
class Case:
    """One delivery of events; the users and items beside it are good."""

    name: str
    files: Mapping[str, Content]
    origin: dict = field(default_factory=dict)
    """What the profile says of the events; their path is the first file when it says nothing."""
    error: type[RecommenderError] | None = None
    message: str = ""
    kept: int = 0
    aside: dict[str, int] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            else:
                path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def profile(self) -> str:
        events = {"path": next(iter(self.files), "e.csv"), "columns": MAPPING, **self.origin}
        if "database" in events:
            del events["path"]
        content = {
            "name": "shop",
            "events": events,
            "users": {"path": "users.csv", "columns": {"user_id": "id"}},
            "items": {"path": "items.csv", "columns": {"item_id": "id"}},
        }
        return yaml.safe_dump(content)


def refused(name: str, message: str, error: type[RecommenderError] = SourceError, **case) -> Case:
    return Case(name, error=error, message=message, **case)


def csv(*rows: str, header: str = HEADER) -> dict[str, Content]:
    return {"e.csv": header + "".join(rows)}


def lines(*rows: object) -> dict[str, Content]:
    return {"e.jsonl": "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)}


def parquet(rows: int = 3, **columns: pa.Array) -> bytes:
    times = pa.array([datetime(2020, 1, 1, 10, minute % 60) for minute in range(rows)], pa.timestamp("us"))
    table = {"who": pa.array(["ann"] * rows), "what": pa.array(["lamp"] * rows), "when": times, **columns}
    buffer = BytesIO()
    pq.write_table(pa.table(table), buffer)
    return buffer.getvalue()


def damaged(content: bytes, at: int) -> bytes:
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + 20]) + content[at + 20 :]


def zstd(text: bytes) -> bytes:
    return pa.compress(text, codec="zstd", asbytes=True)


SECOND = "ann,lamp,2020-01-01T{:02}:{:02}:{:02}\n"
MANY = (HEADER + "".join(SECOND.format(n // 3600, n // 60 % 60, n % 60) for n in range(5000))).encode()
PACKED = gzip.compress(MANY)
OBJECT = {"who": "ann", "what": "lamp", "when": "2020-01-01"}

CASES = [
    # files that can't be read at all
    refused("no such file", "no file matches .*gone.csv", files={}, origin={"path": "gone.csv"}),
    refused("empty", r"e\.csv is empty: not even a header \(matched by events\.path", files={"e.csv": b""}),
    refused("blank lines only", "e.csv is empty: not even a header", files={"e.csv": "\n \n"}),
    refused("header only", "no usable event up to 2020-01-02", files=csv()),
    refused("truncated gzip", "cannot read .*e.csv.gz: Compressed file ended", files={"e.csv.gz": PACKED[:-500]}),
    refused("gzip without its end", "cannot read .*e.csv.gz: Compressed file ended", files={"e.csv.gz": PACKED[:-4]}),
    refused("damaged gzip", "cannot read .*e.csv.gz: .*(damaged|CRC)", files={"e.csv.gz": damaged(PACKED, 5000)}),
    refused("gzip with junk after it", "cannot read .*e.csv.gz: Not a gzip", files={"e.csv.gz": PACKED + b"junk"}),
    refused("not gzip", "cannot read .*e.csv.gz: Not a gzipped file", files={"e.csv.gz": MANY}),
    refused("empty gzip", "e.csv.gz is empty", files={"e.csv.gz": gzip.compress(b"")}),
    refused("truncated zstd", "cannot read .*e.csv.zst: Truncated", files={"e.csv.zst": zstd(MANY)[:-50]}),
    refused("not zstd", "cannot read .*e.csv.zst: ZSTD", files={"e.csv.zst": MANY}),
    refused("truncated Parquet", r"cannot read .*e\.parquet", files={"e.parquet": parquet()[:-30]}),
    refused("not Parquet", r"cannot read .*e\.parquet", files={"e.parquet": MANY}),
    refused("empty Parquet", "e.parquet is empty", files={"e.parquet": b""}),
    refused("damaged Parquet page", r"cannot read .*e\.parquet", files={"e.parquet": damaged(parquet(5000), 20)}),
    refused("Parquet without rows", "no usable event", files={"e.parquet": parquet(0)}),
    refused(
        "Parquet files that don't fit together",
        r"cannot read .*\*\.parquet",
        files={
            "1.parquet": parquet(1, more=pa.array([{"a": 1}])),
            "2.parquet": parquet(1, more=pa.array([datetime(2020, 1, 1)])),
        },
        origin={"path": "*.parquet"},
    ),
    refused("link to nothing", "e.csv is a link to nothing", files={"e.csv": lambda path: path.symlink_to("gone.csv")}),
    refused("empty folder", "cannot read in: the folder holds no file", files={"in": lambda path: path.mkdir()}),
    refused("unknown endings", "cannot tell the format of a.txt in in", files={"in/a.txt": "x"}, origin={"path": "in"}),
    refused(
        "folder of several formats",
        "in mixes formats: .*a.csv is csv, .*b.jsonl is jsonl; name the files of one format, such as `in/\\*.csv`",
        files={"in/a.csv": HEADER + ROW, "in/b.jsonl": "{}"},
        origin={"path": "in"},
    ),
    refused(
        "empty among good files",
        "in/2.csv is empty: not even a header",
        files={"in/1.csv": HEADER + ROW, "in/2.csv": ""},
        origin={"path": "in"},
    ),
    refused("unknown compression", "cannot tell the format of 'e.csv.bz2'", ConfigError, files={"e.csv.bz2": "x"}),
    refused("unknown protocol", "Protocol not known", files={}, origin={"path": "nowhere://e.csv"}),
    # encodings
    refused("latin-1", r"e\.csv line 2 is not utf-8.*`encoding: latin-1`", files={"e.csv": MANY[:14] + b"\xe9,x,y\n"}),
    refused("utf-16", "e.csv is utf-16: say `encoding: utf-16`", files={"e.csv": (HEADER + ROW).encode("utf-16")}),
    refused("utf-16, no mark", "NUL bytes in its first line", files={"e.csv": (HEADER + ROW).encode("utf-16-le")}),
    refused("utf-16 claimed", "not utf-16: leave `encoding` out", files=csv(ROW), origin={"encoding": "utf-16"}),
    refused(
        "half a utf-16 character",
        "e.csv is not utf-16: truncated data",
        files={"e.csv": (HEADER + ROW).encode("utf-16")[:-1]},
        origin={"encoding": "utf-16"},
    ),
    Case("byte order mark", {"e.csv": b"\xef\xbb\xbf" + (HEADER + ROW).encode()}, kept=1),
    Case("one damaged line", {"e.csv": MANY + b"\xff,lamp,2020-01-01\n"}, kept=5000, aside={"unparsable": 1}),
    # columns
    refused("missing column", r"no column 'when'.*did you mean 'wen'", files=csv(ROW, header="who,what,wen\n")),
    refused("other delimiter", "has no column 'what'.*say `delimiter: \";\"`", files=csv(header="who;what;when\n")),
    refused("columns twice", "e.csv has two columns named 'who'", files=csv(ROW, header="who,what,who\n")),
    refused("columns twice but for case", "two columns named 'WHO'", files=csv(ROW, header="who,what,WHO\n")),
    refused(
        "another number of names",
        "e.csv has 3 columns, but `names` lists 2",
        files=csv(ROW, header=""),
        origin={"header": False, "names": ["who", "what"]},
    ),
    Case(
        "a file lacks a column",
        {"in/1.csv": HEADER + ROW, "in/2.csv": "who,when\nbob,2020-01-01\n"},
        {"path": "in"},
        kept=1,
        aside={"missing item_id": 1},
    ),
    Case(
        "folders of conflicting types",
        {"in/who=ann/1.csv": "what,when\nlamp,2020-01-01\n", "in/who=7/1.csv": "what,when\nlamp,2020-01-01\n"},
        {"path": "in"},
        kept=1,
        aside={"unknown user": 1},
    ),
    Case("a folder named like a file", {"e.csv/part-0.csv": HEADER + ROW}, {"path": "e.csv"}, kept=1),
    # rows
    Case("ragged rows", csv(ROW, "ann,lamp\n", "ann,lamp,2020-01-01,x\n"), kept=1, aside={"unparsable": 2}),
    Case("a quote never closed", csv(ROW, '"bob,desk,2020-01-01\n', OTHER), kept=1, aside={"unparsable": 2}),
    Case("text after a quote", csv(ROW, '"bob"by,desk,2020-01-01\n', OTHER), kept=2, aside={"unparsable": 1}),
    Case("a huge line", csv(ROW, "x" * 3_000_000 + ",lamp,2020-01-01\n", OTHER), kept=2, aside={"unparsable": 1}),
    Case("blank lines between", csv(ROW, "\n\n", OTHER, "\n"), kept=2),
    Case("mixed line endings", csv(ROW, OTHER.replace("\n", "\r\n"), ROW.replace("10:", "11:")), kept=3),
    Case("a carriage return in a row", csv(ROW, "bob\r,desk,2020-01-01\n", "b\rob,lamp,2020-01-01\n"), kept=2,
         aside={"unknown user": 1}),
    Case("the last row cut", csv(ROW, "ann,la"), kept=1, aside={"unparsable": 1}),
    Case("the header once more", csv(ROW, HEADER), kept=1, aside={"unreadable ts": 1}),
    # ids
    Case("ids with quotes", csv('"o""neil, ""x""",lamp,2020-01-01\n'), kept=1),
    Case("ids with line breaks", csv('"two\nlines",lamp,2020-01-01\n'), kept=1),
    Case("ids of emoji", csv("🎷,lamp,2020-01-01\n"), kept=1),
    Case("ids of SQL", csv("'; drop table events; --,lamp,2020-01-01\n", ROW), kept=2),
    Case("ids with NUL", csv(ROW, "an\0n,lamp,2020-01-01\n", "\0,lamp,2020-01-01\n"), kept=1,
         aside={"unusable user_id": 2}),
    Case("ids of 10 kB", csv(ROW, "x" * 10_000 + ",lamp,2020-01-01\n"), kept=1, aside={"overlong user_id": 1}),
    Case("no ids", csv(ROW, ",lamp,2020-01-01\n", "ann,  ,2020-01-01\n"), kept=1,
         aside={"missing user_id": 1, "missing item_id": 1}),
    Case("unknown ids", csv(ROW, "eve,lamp,2020-01-01\n", "ann,rug,2020-01-01\n"), kept=1,
         aside={"unknown user": 1, "unknown item": 1}),
    Case("the same row again", csv(ROW, ROW, ROW), kept=1, aside={"duplicate": 2}),
    # times and numbers
    Case("1956", csv(ROW, "ann,lamp,1956-11-01\n"), kept=1, aside={"implausible ts": 1}),
    Case("far future", csv(ROW, "ann,lamp,2999-01-01\n", "ann,lamp,200000-01-01\n"), kept=1,
         aside={"implausible ts": 2}),
    Case("no times", csv(ROW, "ann,lamp,\n", "ann,lamp,soon\n", "ann,lamp,2020-02-30\n"), kept=1,
         aside={"unreadable ts": 3}),
    Case("no number of seconds", csv("ann,lamp,1577872800\n", "ann,lamp,-1\n", "ann,lamp,1e30\n", "ann,lamp,now\n"),
         SECONDS, kept=1, aside={"implausible ts": 1, "unreadable ts": 2}),
    Case("text in numbers", csv("ann,lamp,2020-01-01,many\n", header="who,what,when,plays\n"),
         {"columns": {**MAPPING, "weight": "plays"}}, kept=1),
    refused("all rows bad", "no usable event.*: 2 rows were unusable", files=csv("a,b,c\n", "d,e,f\n")),
    refused("milliseconds as seconds", "no usable event", files=csv("ann,lamp,1577872800000\n"), origin=SECONDS),
    refused(
        "unknown zone",
        "no time zone is called 'Europe/Berlim'; did you mean 'Europe/Berlin'",
        ConfigError,
        files=csv(ROW),
        origin={"columns": {**MAPPING, "ts": {"column": "when", "zone": "Europe/Berlim"}}},
    ),
    refused(
        "numbers without a unit",
        "events.columns.ts is a time, but the source has numbers there: say `unit: seconds`",
        files={"e.parquet": parquet(1, when=pa.array([1577872800]))},
    ),
    refused(
        "an expression that fails on a row",
        "cannot read .*e.csv: Conversion Error",
        files=csv("ann,lamp,secret\n"),
        origin={"columns": {**MAPPING, "ts": {"sql": "cast(\"when\" as timestamp)"}}},
    ),
    # JSON lines
    Case("broken JSON lines", lines(OBJECT, '{"who": "ann"', "", "[1]", "7", "null"), kept=1, aside={"unparsable": 4}),
    Case("JSON with a key twice", lines('{"who":"ann","what":"lamp","when":"2020-01-01","who":"eve"}'), kept=1),
    Case("JSON keys left out", lines(OBJECT, {}, {"who": "ann", "what": None}), kept=1,
         aside={"missing user_id": 1, "missing item_id": 1}),
    Case("JSON of other types", lines(OBJECT, {**OBJECT, "who": 7}, {**OBJECT, "who": ["ann"]}), kept=1,
         aside={"unknown user": 2}),
    refused("a JSON array", "e.jsonl holds no line that is a JSON object", files=lines([OBJECT, OBJECT])),
    refused("no JSON at all", "e.jsonl holds no line that is a JSON object", files={"e.jsonl": MANY}),
    refused("JSON without a key", "no column 'when'.*it has who, what", files=lines({"who": 1, "what": 2})),
    # databases
    refused("no database named", "set SHOP to its SQLAlchemy URL", files={}, origin={"database": "SHOP", "table": "e"}),
    refused(
        "no such table",
        "cannot read e of database SHOP_FILE: no such table: e",
        files={},
        origin={"database": "SHOP_FILE", "table": "e"},
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_broken_delivery_is_one_line_or_counted(
    case: Case, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recommender.data.ingest.validate", lambda *_: [])  # no case is about expectations
    monkeypatch.setenv("SHOP_FILE", f"sqlite:///{tmp_path}/shop.db")
    data = tmp_path / "data"
    data.mkdir()
    case.write(data)
    if case.error is not None:
        with pytest.raises(case.error, match=case.message) as caught:
            ingest(write_shop_beside(data, case), FIRST)
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
        assert not (home / "shop" / "lake" / "events").exists()
        return
    settings = write_shop_beside(data, case)
    result = ingest(settings, FIRST)
    assert result.quarantined == case.aside
    assert result.events == case.kept
    lake = Lake(settings.lake)
    assert len(lake.read("events", FIRST)) == case.kept
    aside = lake.read("quarantine_events", FIRST)
    assert len(aside) == sum(case.aside.values())
    assert (aside["raw"].str.len() > 0).all()


def write_shop_beside(data: Path, case: Case):
    """The good users and items, and the case's profile, beside its events."""
    events = data / "events.csv"
    existed = events.exists()
    settings = write_shop(data, users=USERS, items=ITEMS, profile=case.profile())
    if not existed:
        events.unlink()  # the shop's own
    return settings


def test_the_corpus_is_large_enough() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 40
