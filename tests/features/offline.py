"""Feature views, their files and entity rows for the tests of the offline store."""

import inspect
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    OnDemandFeatureView,
    RepoConfig,
    ValueType,
)
from feast.on_demand_feature_view import PandasTransformation
from feast.types import Float32, Float64, Int64, String

OURS, STOCK = "recommender.features.offline.store.AsofOfflineStore", "duckdb"
START = datetime(2026, 1, 1, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def open_store(folder: Path, kind: str, **options: Any) -> FeatureStore:
    return FeatureStore(
        config=RepoConfig(
            project="test",
            provider="local",
            registry=str(folder / "registry.db"),
            offline_store={"type": kind, **options},
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )


def a_sum(inputs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"more": inputs["score"] + inputs["weight"]})


def definitions(folder: Path) -> list[Any]:
    """Two keys, a shared key under two names, renamed columns, creation times, and times to live."""
    user, shop = (Entity(name=key, join_keys=[key], value_type=ValueType.STRING) for key in ("user", "shop"))
    place = Entity(name="place", join_keys=["place_id"], value_type=ValueType.INT64)
    scores = FileSource(
        name="scores",
        path=str(folder / "scores.parquet"),
        timestamp_field="at",
        created_timestamp_column="made",
        field_mapping={"raw_score": "score"},
    )
    pairs = FileSource(name="pairs", path=str(folder / "pairs.parquet"), timestamp_field="at")
    heats = FileSource(name="heats", path=str(folder / "heats-*.parquet"), timestamp_field="at")
    fields = [Field(name="score", dtype=Float32), Field(name="word", dtype=String), Field(name="user", dtype=String)]
    pair_fields = [Field(name="weight", dtype=Float64), Field(name="user", dtype=String)]
    first = FeatureView(name="scores", entities=[user], schema=fields, source=scores, ttl=timedelta(0))
    second = FeatureView(
        name="pairs",
        entities=[user, shop],
        schema=[*pair_fields, Field(name="shop", dtype=String)],
        source=pairs,
        ttl=timedelta(days=3),
    )
    lasting = FeatureView(name="lasting", entities=[user], schema=fields, source=scores, ttl=timedelta(days=1))
    heat_fields = [Field(name="heat", dtype=Float32), Field(name="place_id", dtype=Int64)]
    heat = FeatureView(name="heats", entities=[place], schema=heat_fields, source=heats, ttl=timedelta(0))
    homes = heat.with_name("home").with_join_key_map({"place_id": "place"})
    offices = heat.with_name("work").with_join_key_map({"place_id": "office"})
    days = FileSource(name="days", path="days.parquet", timestamp_field="at")
    everywhere = FeatureView(name="days", schema=[Field(name="rain", dtype=Int64)], source=days, ttl=timedelta(0))
    return [
        everywhere,
        user,
        shop,
        place,
        first,
        lasting,
        second,
        heat,
        FeatureService(name="all", features=[first, lasting, second, homes, offices]),
        OnDemandFeatureView(
            name="sums",
            sources=[first, second],
            schema=[Field(name="more", dtype=Float64)],
            feature_transformation=PandasTransformation(udf=a_sum, udf_string=inspect.getsource(a_sum)),
            mode="pandas",
        ),
    ]


def instants(rng: np.random.Generator, count: int, hours: int = 12 * 24) -> pd.Series:
    """On full hours, so that many coincide."""
    return pd.Series(START.replace(tzinfo=None) + pd.to_timedelta(rng.integers(0, hours, count), unit="h"))


def write_world(folder: Path, seed: int) -> None:
    """Snapshots with several creation times an instant, missing values, and a heat file without the column `heat`."""
    rng = np.random.default_rng(seed)
    n = 150
    users, shops = rng.choice(["ann", "bob", "o'neil", "дима"], n), rng.choice(["s1", "s2"], n)
    made = instants(rng, n, hours=20 * 24) + pd.to_timedelta(np.arange(n), unit="ms")  # no two alike
    scores = pd.DataFrame({"user": users, "at": instants(rng, n), "made": made, "raw_score": rng.random(n)})
    scores["raw_score"] = scores["raw_score"].astype("float32").mask(rng.random(n) < 0.2)
    scores["word"] = rng.choice(["x", "y", None], n)
    write(scores, folder / "scores.parquet")
    pairs = pd.DataFrame({"user": users, "shop": shops, "at": instants(rng, n), "weight": rng.random(n)})
    pairs = pairs.drop_duplicates(["user", "shop", "at"])
    write(pairs, folder / "pairs.parquet")
    heats = pd.DataFrame({"place_id": rng.integers(0, 5, n), "at": instants(rng, n)})
    heats["heat"] = rng.random(n).astype("float32")
    write(heats.drop_duplicates(["place_id", "at"]), folder / "heats-1.parquet")
    write(pd.DataFrame({"at": [pd.Timestamp(2026, 1, day) for day in (2, 4)], "rain": [2, 4]}), folder / "days.parquet")


def write(frame: pd.DataFrame, path: Path) -> None:
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, coerce_timestamps="us")


def asked(seed: int, count: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng([seed, 1])
    return pd.DataFrame(
        {
            "place": rng.integers(0, 7, count),
            "user": rng.choice(["ann", "bob", "o'neil", "дима", "nobody", None], count),
            "event_timestamp": instants(rng, count, hours=16 * 24).dt.tz_localize("UTC"),
            "shop": rng.choice(["s1", "s2", "s3"], count),
            "office": rng.integers(0, 7, count),
            "row": np.arange(count),
        }
    )


def retrieved(store: FeatureStore, rows: pd.DataFrame | str | None, **options: Any) -> pd.DataFrame:
    """Features of all views; one of them twice under the names of two columns of the entity rows."""
    return store.get_historical_features(
        rows, store.get_feature_service("all"), full_feature_names=True, **options
    ).to_df()


def assert_same(ours: pd.DataFrame, other: pd.DataFrame) -> None:
    assert sorted(ours.columns) == sorted(other.columns)
    for name in ours:
        left, right = ([None if pd.isna(value) else value for value in frame[name]] for frame in (ours, other))
        assert left == right, name
