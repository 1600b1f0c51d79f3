"""Feast over our stores beside Feast over its own, on the same files and definitions; the same values from both."""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from io import StringIO
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
from feast import FeatureStore, RepoConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from psycopg.conninfo import conninfo_to_dict

from benchmarks import feature_world
from benchmarks.measure import Measurement, seconds
from benchmarks.scratch import scratch_world
from recommender.config.profile import Profile
from recommender.config.settings import Settings
from recommender.data.dataset import night_end
from recommender.features.definitions import declared_features, table_of
from recommender.features.feast_objects import definitions
from recommender.features.measures import KEYS, Entity
from recommender.features.store import apply, feature_store
from recommender.storage.lake import Lake
from recommender.storage.postgres import libpq_url

ROWS, USERS, ITEMS, FEATURES = 2_000_000, 100_000, 50_000, 20
NIGHTS = [feature_world.LAST - timedelta(days=7 * n) for n in range(26)]
"""Half a year of weekly snapshots; Feast's duckdb store joins a row with every earlier one."""
READS, COMPARED, STOCK_SCHEMA = 300, 2_000, "stock"
ONLINE_MS = 1
"""What is promised of one online row."""


def run() -> Iterator[Measurement]:
    profile = feature_world.profile(
        feature_world.USER_FEATURES[:FEATURES], feature_world.ITEM_FEATURES[:FEATURES], pair=()
    )
    with scratch_world() as settings:
        lake = Lake(settings.lake)
        _write_snapshots(lake, profile, "user", USERS)
        _write_snapshots(lake, profile, "item", ITEMS)
        url = libpq_url(settings)
        ours = feature_store(settings, url)
        apply(ours, profile, settings.lake)
        stock = _stock_store(settings, url)
        stock.apply(definitions(profile, settings.lake))
        yield from _historical(ours, stock, lake, profile)
        yield from _materialized(ours, stock, url)
        yield from _online(ours, stock, profile, url)


def _historical(ours: FeatureStore, stock: FeatureStore, lake: Lake, profile: Profile) -> Iterator[Measurement]:
    rng = np.random.default_rng(1)
    first = pd.Timestamp(night_end(NIGHTS[-1])) - pd.Timedelta(days=2)  # some rows lie before every snapshot
    seconds_long = int((pd.Timestamp(night_end(NIGHTS[0])) - first).total_seconds()) + 86_400
    rows = pd.DataFrame(
        {
            "user_id": pd.Series(rng.integers(USERS, size=ROWS)).map("user-{}".format),
            "item_id": pd.Series(rng.integers(ITEMS, size=ROWS)).map("item-{}".format),
            "event_timestamp": (first + pd.to_timedelta(rng.integers(seconds_long, size=ROWS), unit="s")).as_unit("us"),
            "row": np.arange(ROWS),
        }
    )
    references = [f"{table_of(entity)}:{name}" for entity in KEYS for name in _names(profile, entity)]
    found: dict[str, pd.DataFrame] = {}

    def retrieve(name: str, store: FeatureStore) -> None:
        found[name] = store.get_historical_features(rows, references, full_feature_names=True).to_df()

    with _silenced():
        (theirs,) = seconds(lambda: retrieve("stock", stock), rounds=1)
    taken, bare = seconds(lambda: retrieve("ours", ours), lambda: _bare_join(lake, profile, rows))
    columns = [reference.replace(":", "__") for reference in references]
    mine, stocks = (found[name].sort_values("row", ignore_index=True)[columns] for name in ("ours", "stock"))
    pd.testing.assert_frame_equal(mine, stocks, check_dtype=False)
    name = f"features of {ROWS // 10**6} M past rows, 2 views × {FEATURES} features × {len(NIGHTS)} nights"
    yield Measurement(name, taken, "s", "bare DuckDB ASOF join", bare)
    yield Measurement(name, taken, "s", "Feast's duckdb store", theirs)


def _materialized(ours: FeatureStore, stock: FeatureStore, url: str) -> Iterator[Measurement]:
    instant = night_end(NIGHTS[0])

    def materialize(store: FeatureStore) -> None:
        with _silenced():
            store.materialize(instant, instant, feature_views=[table_of("user")])

    (theirs,) = seconds(lambda: materialize(stock), rounds=1)
    (taken,) = seconds(lambda: materialize(ours))
    with psycopg.connect(url) as connection:
        for schema, rows in (("feast", USERS), (STOCK_SCHEMA, USERS * FEATURES)):
            _check(_table_rows(connection, schema) == [rows], f"{schema} holds other than {rows} rows")
    users = [{"user_id": f"user-{n}"} for n in range(0, USERS + 100, USERS // COMPARED)]
    references = _references(ours)
    mine, stocks = (store.get_online_features(references, users).to_df() for store in (ours, stock))
    pd.testing.assert_frame_equal(mine, stocks, check_like=True, check_dtype=False)
    name = f"materialize {USERS // 1000} k users × {FEATURES} features"
    yield Measurement(name, taken, "s", "Feast's postgres store and local engine", theirs)


def _online(ours: FeatureStore, stock: FeatureStore, profile: Profile, url: str) -> Iterator[Measurement]:
    names, references = _names(profile, "user"), _references(ours)
    users = np.random.default_rng(2).integers(USERS, size=READS)

    def store_read(store: FeatureStore) -> Callable[[int], object]:
        view, online = store.get_feature_view(table_of("user")), store._get_provider().online_store
        return lambda n: online.online_read(store.config, view, [_key(n)], names)

    def feast_read(store: FeatureStore) -> Callable[[int], object]:
        return lambda n: store.get_online_features(references, [{"user_id": f"user-{n}"}])

    with psycopg.connect(url, autocommit=True) as connection:
        (table,) = _tables(connection, "feast")
        columns = psycopg.sql.SQL(", ").join(map(psycopg.sql.Identifier, names))
        query = psycopg.sql.SQL("select {} from {} where user_id = %s").format(
            columns, psycopg.sql.Identifier("feast", table)
        )

        def bare_read(n: int) -> object:
            return connection.execute(query, [f"user-{n}"]).fetchone()

        bare, *reads = _milliseconds(
            users, bare_read, store_read(ours), store_read(stock), feast_read(ours), feast_read(stock)
        )
    ours_row, stock_row, ours_feast, stock_feast = reads
    row = f"one online row of {FEATURES} features"
    yield Measurement(row, ours_row, "ms", "what is promised", ONLINE_MS)
    yield Measurement(row, ours_row, "ms", "bare look-up by primary key", bare)
    yield Measurement(row, ours_row, "ms", "Feast's postgres store", stock_row)
    whole = f"{row} through get_online_features"
    yield Measurement(whole, ours_feast, "ms", "what is promised", ONLINE_MS)
    yield Measurement(whole, ours_feast, "ms", "the same with Feast's postgres store", stock_feast)


@contextmanager
def _silenced() -> Iterator[None]:
    """Feast prints what it does, and Ibis in Feast's store warns about itself, a line a table."""
    with redirect_stdout(StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _stock_store(settings: Settings, url: str) -> FeatureStore:
    """Feast as it comes: its duckdb offline store, its PostgreSQL online store, its local engine."""
    server = conninfo_to_dict(url)
    with psycopg.connect(url) as connection:
        connection.execute(f"create schema if not exists {STOCK_SCHEMA}")
    folder = settings.world / "stock"
    folder.mkdir(parents=True)
    config: dict[str, Any] = {
        "project": "stock",
        "provider": "local",
        "entity_key_serialization_version": 3,
        "registry": str(folder / "registry.db"),
        "offline_store": {"type": "duckdb"},
        "online_store": {
            "type": "postgres",
            "host": server["host"],
            "port": int(server.get("port") or 5432),
            "database": server["dbname"],
            "user": server["user"],
            "password": server.get("password", ""),
            "db_schema": STOCK_SCHEMA,
            "sslmode": "disable",
        },
        "materialization": {"online_write_batch_size": 50_000},  # without one only a first chunk arrives
    }
    return FeatureStore(config=RepoConfig(**config, repo_path=folder))


def _write_snapshots(lake: Lake, profile: Profile, entity: Entity, count: int) -> None:
    """Random values of the declared features, one in fifty missing."""
    rng = np.random.default_rng(0)
    for night in NIGHTS:
        instant = pa.scalar(night_end(night).replace(tzinfo=None), pa.timestamp("us"))
        columns: dict[str, Any] = {
            KEYS[entity]: [f"{entity}-{n}" for n in range(count)],
            "event_timestamp": pa.repeat(instant, count),
        }
        for feature in declared_features(profile, entity):
            missing = rng.random(count) < 0.02
            if feature.kind == "numeric":
                columns[feature.name] = pa.array(rng.random(count, np.float32), mask=missing)
            else:
                values = rng.choice([f"{feature.name} {n}" for n in range(24)], count)
                columns[feature.name] = pa.array(values, pa.string(), mask=missing)
        lake.write(table_of(entity), night, pa.table(columns))


def _bare_join(lake: Lake, profile: Profile, rows: pd.DataFrame) -> pd.DataFrame:
    selected = ", ".join(f"{entity}.{name}" for entity in KEYS for name in _names(profile, entity))
    joins = " ".join(
        f"""asof left join read_parquet('{lake.glob(table_of(entity))}', hive_partitioning = false) as {entity}
            on r.{key} = {entity}.{key} and r.event_timestamp >= {entity}.event_timestamp"""
        for entity, key in KEYS.items()
    )
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        found: pd.DataFrame = connection.register("rows", rows).sql(f"select {selected} from rows as r {joins}").df()
    return found


def _milliseconds(users: np.ndarray, *reads: Callable[[int], object]) -> list[float]:
    """Median of a read. The reads take turns of thirty: Feast keeps one store's look-ups ready a process, not two."""
    times: list[list[float]] = [[] for _ in reads]
    for turn in np.array_split(users, max(1, len(users) // 30)):
        for taken, read in zip(times, reads, strict=True):
            for n in map(int, turn):
                started = time.perf_counter()
                read(n)
                taken.append((time.perf_counter() - started) * 1000)
    return [statistics.median(taken) for taken in times]


def _names(profile: Profile, entity: Entity) -> list[str]:
    return [feature.name for feature in declared_features(profile, entity)]


def _references(store: FeatureStore) -> list[str]:
    view = store.get_feature_view(table_of("user"))
    return [f"{view.name}:{field.name}" for field in view.features]


def _key(n: int) -> EntityKey:
    return EntityKey(join_keys=["user_id"], entity_values=[Value(string_val=f"user-{n}")])


def _tables(connection: psycopg.Connection, schema: str) -> list[str]:
    found = connection.execute(
        "select tablename from pg_tables where schemaname = %s and tablename like %s", [schema, "%user\\_features%"]
    )
    return [name for (name,) in found]


def _table_rows(connection: psycopg.Connection, schema: str) -> list[int]:
    count = psycopg.sql.SQL("select count(*) from {}")
    return [
        connection.execute(count.format(psycopg.sql.Identifier(schema, table))).fetchone()[0]  # type: ignore[index]
        for table in _tables(connection, schema)
    ]


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise RuntimeError(problem)
