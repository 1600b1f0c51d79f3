"""The erasure list, and the lake rewritten without a user."""

import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from recommender.config.profile import personal_columns
from recommender.config.settings import Settings, load_settings
from recommender.data.erasures import add_erased, erasure_list, forget_mentions, mark_erased
from recommender.data.lake_erasure import erase_from_lake
from recommender.errors import RecommenderError
from recommender.storage.lake import Lake

NIGHT = date(2026, 3, 1)
PROFILE = """
name: shop
events: {path: e.csv, columns: {user_id: u, item_id: i, ts: t, place: {column: p, personal: true}}}
users: {path: u.csv, columns: {user_id: u, age: a, country: c, plan: {column: plan, personal: false}}}
items: {path: i.csv, columns: {item_id: i, owner: {column: o, personal: true}, title: t}}
"""


@pytest.fixture
def settings(home: Path, tmp_path: Path) -> Settings:
    (tmp_path / "shop.yaml").write_text(PROFILE)
    return load_settings(str(tmp_path / "shop.yaml"), tmp_path)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def test_user_columns_are_personal_unless_the_profile_says_otherwise(settings: Settings) -> None:
    of = {table: personal_columns(settings.profile, table) for table in ("events", "users", "items", "batch")}
    assert of["users"] == {"user_id", "age", "age_band", "country"}
    assert of["events"] == {"user_id", "place"}
    assert of["items"] == {"user_id", "owner"}
    assert of["batch"] == {"user_id"}
    assert personal_columns(settings.profile, "user_features") == of["users"]
    assert personal_columns(settings.profile, "item_features") == of["items"]


def test_the_list_holds_no_id_and_is_the_owners_alone(settings: Settings) -> None:
    add_erased(settings, ["user-7"])
    add_erased(settings, ["user-8"])
    path = settings.world / "erasures.json"
    assert "user" not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    known = erasure_list(settings)
    assert ("user-7" in known, "user-8" in known, "user-70" in known) == (True, True, False)


def test_two_worlds_have_different_digests(settings: Settings, tmp_path: Path, monkeypatch) -> None:
    add_erased(settings, ["user-7"])
    monkeypatch.setenv("RECOMMENDER_HOME", str(tmp_path / "other"))
    other = load_settings(str(settings.profile_path), tmp_path)
    add_erased(other, ["user-7"])
    assert not erasure_list(settings).digests & erasure_list(other).digests


@pytest.mark.parametrize("content", ["", "{", "[]", '{"salt": "x"}'])
def test_a_damaged_list_lets_nobody_in(settings: Settings, connection: duckdb.DuckDBPyConnection, content: str) -> None:
    settings.world.mkdir(parents=True)
    (settings.world / "erasures.json").write_text(content)
    with pytest.raises(RecommenderError, match="erasures.json is damaged: restore it"):
        mark_erased(connection, settings, "(select 'x' as user_id)")


def test_erased_ids_of_a_relation_are_marked(settings: Settings, connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create table events as select unnest(['a', 'b', 'b', null, 'Ünï ''; --']) as user_id")
    assert mark_erased(connection, settings, "events") == 0
    assert connection.execute("from erased_users").fetchall() == []
    add_erased(settings, ["b", "Ünï '; --", "not there"])
    assert mark_erased(connection, settings, "(select user_id from events)") == 2
    assert connection.execute("from erased_users order by 1").fetchall() == [("b",), ("Ünï '; --",)]


@examples(max_examples=25, deadline=None)
@given(erased=st.sets(st.text(min_size=1)), others=st.sets(st.text(min_size=1)))
def test_exactly_the_erased_are_marked(erased: set[str], others: set[str], tmp_path_factory) -> None:
    storable = {name for name in erased | others if "\0" not in name and name.isprintable()}
    folder = tmp_path_factory.mktemp("world")
    (folder / "shop.yaml").write_text(PROFILE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(folder))
        settings = load_settings(str(folder / "shop.yaml"), folder)
    add_erased(settings, erased & storable)
    with duckdb.connect() as connection:
        connection.register("ids", pa.table({"user_id": pa.array(sorted(storable), pa.string())}))
        mark_erased(connection, settings, "ids")
        assert {row[0] for row in connection.execute("from erased_users").fetchall()} == erased & storable


RAW_ROWS = [
    ('{"u":" user-7 ","i":"x"}', None, True),  # an id that could not be read
    ("user-7,x,soon,too,many", None, True),  # a line that could not be split
    ('"user-7";x', None, True),
    ("user-7::x::5", None, True),
    ('{"u":"user-70","i":"x user-7"}', None, False),
    ("user-70,x,2026-03-07", None, False),
    ('{"u":"user-8","i":"user-7"}', "user-8", False),  # somebody else's row
    ('{"u":"user-7"}', "user-7", True),
    (None, None, False),
]


def quarantine(with_ids: bool = True) -> pa.Table:
    rows = {
        "raw": pa.array([raw for raw, _, _ in RAW_ROWS], pa.string()),
        "reason": pa.array([str(number) for number in range(len(RAW_ROWS))]),
    }
    return pa.table(rows | ({"user_id": pa.array([user for _, user, _ in RAW_ROWS], pa.string())} if with_ids else {}))


def test_refused_rows_without_an_id_are_found_by_what_they_say(
    settings: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    connection.register("source", quarantine())
    connection.execute("create table rejected_events as from source")
    assert forget_mentions(connection, settings, "rejected_events") == 0
    add_erased(settings, ["user-7"])
    gone = [str(n) for n, (_, user, mine) in enumerate(RAW_ROWS) if mine and user is None]
    assert forget_mentions(connection, settings, "rejected_events") == len(gone)
    left = {reason for (reason,) in connection.execute("select reason from rejected_events").fetchall()}
    assert left == {str(number) for number in range(len(RAW_ROWS))} - set(gone)


def test_every_file_of_the_lake_loses_the_user_and_nothing_else(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lake = Lake(tmp_path)
    events = pa.table(
        {
            "user_id": ["user-9", "user-7", "user-1", "user-7"] * 500,
            "ts": pa.array([datetime(2026, 3, 1, 0, 0, n % 60) for n in range(2000)], pa.timestamp("us")),
            "tags": pa.array([["a", "b"], None, [], ["c"]] * 500, pa.list_(pa.string())),
            "weight": pa.array([1.5, None, 2.0, 3.0] * 500, pa.float32()),
        }
    )
    for table in ("events", "failed_events"):
        lake.write(table, NIGHT, events, {"kind": "night", "rows": 2000})
    merged = tmp_path / "events" / "until=2026-02-27" / "data.parquet"
    merged.parent.mkdir()
    pq.write_table(events, merged, row_group_size=300)
    lake.write("users", NIGHT, pa.table({"user_id": ["user-7", "user-9"], "age": [7, 9]}))
    lake.write("items", NIGHT, pa.table({"item_id": ["user-7"]}))
    lake.write("quarantine_items", NIGHT, pa.table({"raw": ['{"item":"user-7"}'], "reason": ["duplicate"]}))
    lake.write("quarantine_events", NIGHT, quarantine())
    untouched = {path: path.stat().st_ino for path in tmp_path.glob("*items/*/data.parquet")}
    abandoned = merged.with_name(".writing-1.parquet")
    abandoned.write_bytes(b"a killed writer's")

    removed = erase_from_lake(connection, tmp_path, ["user-7", "user-8", "nobody"])
    assert {table: dict(counts) for table, counts in removed.items()} == {
        "events": {"user-7": 2000},
        "failed_events": {"user-7": 1000},
        "quarantine_events": {"user-7": 5, "user-8": 1},
        "users": {"user-7": 1},
    }
    expected = events.filter(pa.array([True, False, True, False] * 500))
    for path in (lake.path("events", NIGHT), lake.path("failed_events", NIGHT), merged):
        assert pq.ParquetFile(path).read().equals(expected)  # order, types and nulls
    assert lake.facts("events", NIGHT) == {"kind": "night", "rows": 2000}
    assert pq.ParquetFile(merged).num_row_groups == 7
    assert lake.read("users", NIGHT).to_dict("list") == {"user_id": ["user-9"], "age": [9]}
    assert {path: path.stat().st_ino for path in untouched} == untouched
    assert not abandoned.exists()
    assert erase_from_lake(connection, tmp_path, ["user-7", "user-8", "nobody"]) == {}


def test_older_quarantine_without_a_column_of_ids_is_searched_too(
    tmp_path: Path, connection: duckdb.DuckDBPyConnection
) -> None:
    lake = Lake(tmp_path)
    lake.write("quarantine_events", NIGHT, quarantine(with_ids=False))
    erase_from_lake(connection, tmp_path, ["user-7"])
    left = lake.read("quarantine_events", NIGHT)["raw"].dropna().tolist()
    assert left == ['{"u":"user-70","i":"x user-7"}', "user-70,x,2026-03-07"]


def test_a_table_that_empties_keeps_its_columns(tmp_path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    lake = Lake(tmp_path)
    lake.write("users", NIGHT, pa.table({"user_id": ["a", "a"], "age": pa.array([1, 2], pa.int8())}), {"rows": 2})
    before = pq.read_schema(lake.path("users", NIGHT))
    erase_from_lake(connection, tmp_path, ["a"])
    file = pq.ParquetFile(lake.path("users", NIGHT))
    assert file.metadata.num_rows == 0
    assert file.schema_arrow.equals(before, check_metadata=True)


def test_the_list_survives_a_writer_that_was_killed(settings: Settings) -> None:
    add_erased(settings, ["a"])
    (settings.world / "erasures.tmp").write_text('{"salt": "half')
    add_erased(settings, ["b"])
    assert "a" in erasure_list(settings)
    assert "b" in erasure_list(settings)
    assert set(json.loads((settings.world / "erasures.json").read_text())) == {"salt", "digests"}
    assert [path.name for path in settings.world.iterdir()] == ["erasures.json"]
