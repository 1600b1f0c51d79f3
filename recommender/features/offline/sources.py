"""What Feast reads snapshots with, by the profile's engine: our own store over DuckDB, or Feast's over Spark."""

import warnings
from pathlib import Path
from typing import Any

from recommender.columns import EVENT_TIMESTAMP
from recommender.config.profile import Engine
from recommender.features.snapshots.spark import spark_conf

with warnings.catch_warnings():  # importing Feast turns every library's deprecation warnings on
    from feast import FileSource
    from feast.data_source import DataSource

_DUCKDB_STORE = "recommender.features.offline.store.AsofOfflineStore"
_SPARK_STORE = "recommender.features.offline.spark_store.LakeSparkOfflineStore"


def offline_config(engine: Engine) -> dict[str, Any]:
    """The section `offline_store` of Feast's configuration.

    Raises
    ------
    ConfigError
        Spark is wanted, and PySpark or Java is missing.
    """
    if engine.kind == "spark":
        return {"type": _SPARK_STORE, "spark_conf": spark_conf(engine)}
    return {"type": _DUCKDB_STORE, "memory_gb": engine.memory_gb, "threads": engine.threads}


def snapshot_source(engine: Engine, name: str, path: str | Path) -> DataSource:
    """A source over Parquet files with `event_timestamp`.

    Parameters
    ----------
    path
        A file, or a pattern over many.
    """
    if engine.kind == "spark":
        from recommender.features.offline.spark_store import SparkSource

        # a name of its own: Feast's registry can't turn a source of one type into another
        spark = f"{name}_on_spark"
        return SparkSource(name=spark, path=str(path), file_format="parquet", timestamp_field=EVENT_TIMESTAMP)
    return FileSource(name=name, path=str(path), timestamp_field=EVENT_TIMESTAMP)
