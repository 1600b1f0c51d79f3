"""Small feature views and rows for the tests of the online store."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import FeastType, Float32, String

from recommender.features.online.store import WideOnlineStore
from recommender.features.online.tables import OnlineTable
from recommender.storage.copy_arrow import TIMESTAMP

PROJECT = "small"
NIGHT = datetime(2026, 1, 5, tzinfo=UTC)
FIELDS: dict[str, FeastType] = {"plays": Float32, "country": String}


def make_config(url: str, folder: Path, stock: bool = False, chunk_rows: int = 100) -> RepoConfig:
    """Our stores and engine, or Feast's own online store and engine in a schema of their own."""
    ours = {"type": "recommender.features.online.store.WideOnlineStore", "url": url}
    where = psycopg.conninfo.conninfo_to_dict(url)
    theirs = {
        "type": "postgres",
        "host": where["host"],
        "port": int(where.get("port", 5432)),
        "database": where["dbname"],
        "user": where["user"],
        "password": where.get("password", ""),
        "db_schema": "stock",
    }
    config = RepoConfig(
        project=PROJECT,
        provider="local",
        registry=str(folder / f"registry_{stock}.db"),
        entity_key_serialization_version=3,
        offline_store={"type": "recommender.features.offline.store.AsofOfflineStore"},
        online_store=theirs if stock else ours,
        batch_engine="local" if stock else "recommender.features.online.materialization.SwapComputeEngine",
        materialization={"online_write_batch_size": chunk_rows},
        data_quality_monitoring={"auto_baseline": False},
    )
    config.repo_path = folder
    return config


def make_store(url: str, folder: Path, view: FeatureView, stock: bool = False, chunk_rows: int = 100) -> FeatureStore:
    store = FeatureStore(config=make_config(url, folder, stock, chunk_rows))
    store.apply([*entities(view.entities), view])
    return store


def entities(keys: Sequence[str]) -> list[Entity]:
    return [Entity(name=key, join_keys=[key], value_type=ValueType.STRING) for key in keys]


def make_view(
    name: str,
    fields: dict[str, FeastType] = FIELDS,
    keys: Sequence[str] = ("user_id",),
    path: Path = Path("none.parquet"),
    **source: Any,
) -> FeatureView:
    return FeatureView(
        name=name,
        entities=entities(keys),
        schema=[Field(name=field, dtype=dtype) for field, dtype in (dict.fromkeys(keys, String) | fields).items()],
        source=FileSource(name=f"{name}_source", path=str(path), timestamp_field="event_timestamp", **source),
        ttl=timedelta(0),
    )


def update(config: RepoConfig, *keep: FeatureView, delete: Sequence[FeatureView] = ()) -> WideOnlineStore:
    store = WideOnlineStore()
    store.update(config, delete, keep, [], [], partial=True)
    return store


def key(**values: str) -> EntityKey:
    return EntityKey(join_keys=list(values), entity_values=[Value(string_val=value) for value in values.values()])


def users(*ids: str) -> list[EntityKey]:
    return [key(user_id=user_id) for user_id in ids]


def batches(table: OnlineTable, ids: Sequence[str], value: float, at: datetime = NIGHT) -> Iterator[pa.RecordBatch]:
    """One batch an id; every feature of a `FIELDS` view says `value`."""
    for user_id in ids:
        columns = [pa.array([user_id]), pa.array([at], TIMESTAMP), pa.array([value], pa.float32()), [f"at {value}"]]
        yield pa.RecordBatch.from_arrays([*columns[:3], pa.array(columns[3])], names=list(table.types))
