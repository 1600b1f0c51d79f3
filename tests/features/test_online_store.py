"""The wide online store: what Feast's own PostgreSQL store answers, from tables that are to the declarations."""

import asyncio
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureView, Field, RepoConfig, types
from feast.protos.feast.types.Value_pb2 import FloatList, Value

from recommender.errors import ConfigError, DatabaseError, NotReadyError
from recommender.features.online.erasure import erase_online
from recommender.features.online.store import WideOnlineStore, WideOnlineStoreConfig
from tests.features.online import FIELDS, NIGHT, key, make_config, make_store, make_view, update, users

ODD_IDS = ["o'neil\"; drop table feast.x; --", "ünï-ço∂é 🎧", " ", "%s", "back\\slash", "{a,b}", "NULL"]


@pytest.fixture
def config(url: str, tmp_path: Path) -> RepoConfig:
    return make_config(url, tmp_path)


def tables(url: str) -> dict[str, list[tuple[str, str]]]:
    """Columns and types of every table in the schema."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            """select c.relname, a.attname, format_type(a.atttypid, a.atttypmod) from pg_class c
               join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
               where c.relnamespace = 'feast'::regnamespace and c.relkind = 'r' order by c.relname, a.attnum"""
        ).fetchall()
    found: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in rows:
        found.setdefault(table, []).append((column, kind))
    return found


def write(
    store: WideOnlineStore, config: RepoConfig, view: FeatureView, user_id: str, at: datetime = NIGHT, **values: Any
) -> None:
    store.online_write_batch(config, view, [(*users(user_id), values, at, None)], None)


def random_rows(count: int) -> tuple[dict[str, types.FeastType], pa.Table]:
    """Every type that a snapshot can have, a fifth of the values missing."""
    rng = np.random.default_rng(7)
    moments = (np.datetime64("2026-01-01", "us") + rng.integers(0, 10**13, count)).tolist()
    scalars: dict[str, tuple[types.FeastType, pa.DataType, list[Any]]] = {
        "float32": (types.Float32, pa.float32(), [*rng.normal(size=count - 3), math.nan, math.inf, 0.0]),
        "float64": (types.Float64, pa.float64(), list(rng.normal(size=count) * 1e9)),
        "int32": (types.Int32, pa.int32(), rng.integers(-(2**31), 2**31, count).tolist()),
        # Feast takes a column with missing integers through float64
        "int64": (types.Int64, pa.int64(), rng.integers(-(2**53), 2**53, count).tolist()),
        "text": (types.String, pa.string(), rng.choice(["", *ODD_IDS], count).tolist()),
        "bool": (types.Bool, pa.bool_(), rng.integers(0, 2, count).astype(bool).tolist()),
        "bytes": (types.Bytes, pa.binary(), [rng.bytes(5) for _ in range(count)]),
        "moment": (types.UnixTimestamp, pa.timestamp("us", "UTC"), moments),
    }
    fields: dict[str, types.FeastType] = {}
    columns: dict[str, pa.Array] = {}
    for name, (dtype, arrow_type, values) in scalars.items():
        fields[name], missing = dtype, rng.random(count) < 0.2
        columns[name] = pa.array([None if gone else v for gone, v in zip(missing, values, strict=True)], arrow_type)
        lists = [None if rng.random() < 0.2 else values[: rng.integers(0, 4)] for _ in range(count)]
        fields[f"{name}_list"] = types.Array(dtype)
        columns[f"{name}_list"] = pa.array(lists, pa.list_(arrow_type))
    fields |= {"map": types.Map, "struct": types.Struct({"a": types.String})}
    columns["map"] = pa.array([None if n % 5 == 0 else {"n": str(n), "ü": ""} for n in range(count)])
    columns["struct"] = pa.array([None if n % 5 == 0 else {"a": str(n)} for n in range(count)])
    return fields, pa.table(columns)


def test_values_are_those_of_feasts_own_store(url: str, tmp_path: Path) -> None:
    count = 60
    fields, table = random_rows(count)
    ids = [*ODD_IDS, *(f"u{number}" for number in range(count - len(ODD_IDS)))]
    stamps = pa.array([NIGHT + timedelta(seconds=number) for number in range(count)], pa.timestamp("us", "UTC"))
    table = table.add_column(0, "user_id", pa.array(ids)).add_column(1, "event_timestamp", stamps)
    pq.write_table(table, tmp_path / "users.parquet")
    view = make_view("typed", fields, path=tmp_path / "users.parquet")
    answers = []
    for stock in (True, False):
        if stock:
            with psycopg.connect(url) as connection:
                connection.execute("create schema stock")
        store = make_store(url, tmp_path, view, stock, chunk_rows=17 if not stock else 1_000)
        store.materialize(NIGHT, NIGHT + timedelta(days=1))
        asked = [{"user_id": user_id} for user_id in [*ids, "nobody", ids[0]]]
        found = store.get_online_features([f"typed:{name}" for name in fields], asked)
        answers.append(found.to_dict(include_event_timestamps=True))
    theirs, ours = answers
    for name in theirs:
        assert repr(ours[name]) == repr(theirs[name]), name  # repr: NaN within a list is equal to itself
    assert tables(url)["small_typed"][:4] == [
        ("user_id", "text"),
        ("event_timestamp", "timestamp with time zone"),
        ("float32", "real"),
        ("float32_list", "real[]"),
    ]


def test_rows_come_in_the_order_asked_with_only_what_was_asked(config: RepoConfig) -> None:
    view = make_view("ordered")
    store = update(config, view)
    for number, user_id in enumerate(ODD_IDS):
        write(store, config, view, user_id, plays=Value(float_val=number), country=Value(string_val="PT"))
    asked = [*reversed(ODD_IDS), "nobody", ODD_IDS[0], "nul\0", ODD_IDS[0]]
    rows = store.online_read(config, view, users(*asked), ["plays"])
    expected: list[Any] = [(NIGHT, {"plays": Value(float_val=n)}) for n in range(len(ODD_IDS))]
    none = (None, None)
    assert rows == [*reversed(expected), none, expected[0], none, expected[0]]
    assert store.online_read(config, view, users(" "))[0][1] == {
        "plays": expected[2][1]["plays"],
        "country": Value(string_val="PT"),
    }
    assert store.online_read(config, view, []) == []


def test_entities_of_several_keys(config: RepoConfig) -> None:
    view = make_view("affinity", {"share": types.Float32}, keys=("country", "category"))
    store = update(config, view)
    data = [
        (key(country=a, category=b), {"share": Value(float_val=v)}, NIGHT, None)
        for a, b, v in [("PT", "fado", 0.5), ("fado", "PT", 0.25), ("PT", "rock", 0.125)]
    ]
    store.online_write_batch(config, view, data, None)
    asked = [key(category="rock", country="PT"), key(country="fado", category="PT"), key(country="PT", category="jazz")]
    found = [values and values["share"].float_val for _, values in store.online_read(config, view, asked)]
    assert found == [0.125, 0.25, None]


def test_a_write_updates_what_it_names_and_an_older_one_nothing(config: RepoConfig) -> None:
    view = make_view("pushed", FIELDS | {"taste": types.Array(types.Float32)})
    store = update(config, view)
    progress: list[int] = []
    taste = Value(float_list_val=FloatList(val=[0.5, math.nan]))
    row = {"plays": Value(float_val=1), "country": Value(string_val="PT"), "taste": taste}
    store.online_write_batch(config, view, [(*users("u"), row, NIGHT, None)], progress.append)
    write(store, config, view, "u", NIGHT - timedelta(seconds=1), plays=Value(float_val=9))
    assert store.online_read(config, view, users("u"), ["plays"]) == [(NIGHT, {"plays": Value(float_val=1)})]
    write(store, config, view, "u", datetime(2026, 1, 6), plays=Value(float_val=math.nan))  # naive is UTC
    ((at, values),) = store.online_read(config, view, users("u"))
    assert values is not None and at == datetime(2026, 1, 6, tzinfo=UTC)
    assert values["plays"] == Value() and values["country"] == Value(string_val="PT")
    assert repr(values["taste"]) == repr(taste)
    assert progress == [1]
    with pytest.raises(DatabaseError, match="pushed can't be written") as caught:
        write(store, config, view, "u", plays=Value(string_val="x\0y"))
    assert "\n" not in str(caught.value)


def test_tables_follow_the_declarations(url: str, config: RepoConfig) -> None:
    view = make_view("changing", FIELDS | {"gone": types.Int64})
    store = update(config, view)
    write(store, config, view, "u", plays=Value(float_val=2), country=Value(string_val="PT"), gone=Value(int64_val=5))
    assert store.online_read(config, view, users("u"), ["country"]) == [(NIGHT, {"country": Value(string_val="PT")})]
    changed = make_view("changing", {"plays": types.Float32, "country": types.Array(types.String), "new": types.Bool})
    update(config, changed)
    update(config, changed)
    assert dict(tables(url)["small_changing"]) == {
        "user_id": "text",
        "event_timestamp": "timestamp with time zone",
        "plays": "real",
        "country": "text[]",
        "new": "boolean",
    }
    # the connection has prepared this very query for the old type
    assert store.online_read(config, changed, users("u"), ["country"]) == [(NIGHT, {"country": Value()})]
    ((_, values),) = store.online_read(config, changed, users("u"))
    assert values == {"plays": Value(float_val=2), "country": Value(), "new": Value()}
    with pytest.raises(NotReadyError, match="feature view changing is not as the view is declared"):
        store.online_read(config, view, users("u"), ["gone"])
    update(config, make_view("changing", keys=("item_id",)))
    assert tables(url)["small_changing"][0] == ("item_id", "text")
    update(config, delete=[view])
    assert "small_changing" not in tables(url)
    with pytest.raises(NotReadyError, match="apply the definitions"):
        store.online_read(config, view, users("u"))


def test_a_table_in_feasts_own_form_is_replaced(url: str, config: RepoConfig) -> None:
    view = make_view("upgraded")
    update(config, view, delete=[view])
    with psycopg.connect(url) as connection:
        connection.execute(
            """create table feast.small_upgraded
               (entity_key bytea, feature_name text, value bytea, event_ts timestamptz,
                primary key (entity_key, feature_name));
               insert into feast.small_upgraded (entity_key, feature_name) values ('x', 'plays')"""
        )
    store = update(config, view)
    assert store.online_read(config, view, users("u")) == [(None, None)]


def test_long_and_strange_names(config: RepoConfig) -> None:
    names = [f'{"é" * 40}{number} "quoted" %s' for number in range(2)]
    views = [make_view("v" * 70 + end, dict.fromkeys(names, types.Int64)) for end in "ab"]
    store = update(config, *views)
    for number, view in enumerate(views):
        write(store, config, view, "u", **{name: Value(int64_val=place + number) for place, name in enumerate(names)})
    for number, view in enumerate(views):
        values = store.online_read(config, view, users("u"))[0][1]
        assert values == {name: Value(int64_val=place + number) for place, name in enumerate(names)}
    store.teardown(config, views, [])
    with pytest.raises(NotReadyError):
        store.online_read(config, views[0], users("u"))


def test_what_the_store_cannot_keep_is_refused(config: RepoConfig) -> None:
    with pytest.raises(ConfigError, match="feature view odd: the online store takes no feature named event_timestamp"):
        update(config, make_view("odd", {"event_timestamp": types.UnixTimestamp}))


def test_a_key_among_the_features_is_kept_once(config: RepoConfig) -> None:
    """Feast takes a view's key for a feature where it doesn't know the entity, and for pushed rows."""
    view = make_view("keyed")
    view.features.append(Field(name="user_id", dtype=types.String))
    store = update(config, view)
    values = {"user_id": Value(string_val="u"), "plays": Value(float_val=4)}
    store.online_write_batch(config, view, [(*users("u"), values, NIGHT, None)], None)
    assert store.online_read(config, view, users("u"))[0][1] == {"country": Value(), "plays": Value(float_val=4)}


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(ValueError, match=r'export RECOMMENDER_DATABASE_URL="\$\(recommender db-url\)"'):
        WideOnlineStoreConfig(url="${RECOMMENDER_DATABASE_URL}")


def test_many_read_at_once(config: RepoConfig) -> None:
    view = make_view("busy")
    store = update(config, view)
    for number in range(20):
        write(store, config, view, f"u{number}", plays=Value(float_val=number))

    async def read_all() -> list[Any]:
        return await asyncio.gather(
            *(store.online_read_async(config, view, users(f"u{n}"), ["plays"]) for n in range(20))
        )

    assert [rows[0][1]["plays"].float_val for rows in asyncio.run(read_all())] == list(range(20))


def test_a_lost_connection_is_made_again(url: str, config: RepoConfig) -> None:
    view = make_view("reconnected")
    store = update(config, view)
    write(store, config, view, "u", plays=Value(float_val=1))
    before = store.online_read(config, view, users("u"))
    with psycopg.connect(url) as connection:
        connection.execute(
            """select pg_terminate_backend(pid) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()"""
        )
    assert store.online_read(config, view, users("u")) == before
    unreachable = make_config("postgresql://me:secret@127.0.0.1:1/nowhere", Path(config.repo_path))
    with pytest.raises(DatabaseError, match="cannot reach PostgreSQL") as caught:
        WideOnlineStore().online_read(unreachable, view, users("u"))
    assert "secret" not in str(caught.value)


def test_erased_users_are_in_no_table(url: str, config: RepoConfig) -> None:
    views = [make_view("first"), make_view("second"), make_view("items", keys=("item_id",))]
    store = update(config, *views)
    for view, user_id in ((views[0], "gone"), (views[1], "gone"), (views[1], "stays"), (views[1], "o'neil")):
        write(store, config, view, user_id, plays=Value(float_val=1))
    data = [(key(item_id="gone"), {"plays": Value(float_val=1)}, NIGHT, None)]
    store.online_write_batch(config, views[2], data, None)
    with psycopg.connect(url) as connection:
        connection.execute("create table feast.small_old (entity_key bytea, feature_name text)")
    assert erase_online(url, ["gone", "o'neil", "nobody"]) == Counter({"gone": 2, "o'neil": 1})
    assert [row[0] for row in store.online_read(config, views[1], users("gone", "stays"))] == [None, NIGHT]
    assert store.online_read(config, views[2], [key(item_id="gone")])[0][0] == NIGHT, "an item is no user"
    assert "small_old" not in tables(url)
