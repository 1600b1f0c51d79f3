"""Feast's offline store over Parquet files: DuckDB ASOF joins in bounded memory.

It takes the place of Feast's own duckdb store (`offline_store: type:` in `feature_store.yaml`) and gives the same
values; besides, it takes patterns over many files of which older ones may lack a column that was declared since,
keeps the caller's row order, and answers without entity rows.
"""

import glob
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView, FileSource, OnDemandFeatureView, RepoConfig
from feast.data_source import DataSource
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.file_source import FileLoggingDestination
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from feast.utils import compute_non_entity_date_range
from pydantic import PositiveFloat, PositiveInt

from recommender.errors import ConfigError, NotReadyError, SourceError
from recommender.features.offline.asof import View, all_rows, entity_rows, point_in_time
from recommender.features.offline.parquet_source import ParquetSource, local_parquet, local_path, parquet_source
from recommender.features.offline.retrieval_job import DuckDBJob, engine
from recommender.storage.duckdb_sql import literal, quoted
from recommender.storage.lake import replacing


class AsofOfflineStoreConfig(FeastConfigBaseModel):
    """Chooses this store in `feature_store.yaml`."""

    type: Literal["recommender.features.offline.store.AsofOfflineStore"] = (
        "recommender.features.offline.store.AsofOfflineStore"
    )
    memory_gb: PositiveFloat = 2.0
    """What DuckDB may hold in memory, results not counted; the rest is spilled to a temporary folder."""
    threads: PositiveInt | None = None
    """Threads of a query; all cores by default."""


class AsofOfflineStore(OfflineStore):
    """Reads and writes local Parquet file sources; a path may be a file, a folder or a pattern."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Each entity row, in the caller's order, with the last snapshot at or before its instant of each view.

        Parameters
        ----------
        entity_df
            A frame or a DuckDB query with the join keys and `event_timestamp`, or one other column of instants;
            without one, every entity at every instant from `start_date` to `end_date` that a view has a snapshot of.
        filter_by_created_timestamp
            Leave out snapshots that were created after a row's instant, in views that say when theirs were.

        Raises
        ------
        ConfigError
            The rows lack a join key or an instant, or a source isn't local Parquet.
        NotReadyError
            A source has no files, or none with a feature asked for.
        """
        with engine(config.offline_store.memory_gb, config.offline_store.threads) as connection:
            views = [
                View(
                    name=view.name,
                    source=parquet_source(connection, view.batch_source, config.repo_path),
                    keys=_join_keys(view),
                    features=_features(view, feature_refs, full_feature_names),
                    ttl=view.ttl or None,
                )
                for view in feature_views
            ]
            if entity_df is None:
                start, end = compute_non_entity_date_range(feature_views, start_date, end_date)
                views = [replace(view, start=start) for view in views]
                rows = all_rows(views, start, end)
            else:
                rows = entity_rows(connection, entity_df)
            return _job(
                config,
                point_in_time(rows, views, filter_by_created_timestamp),
                frames=rows.frames,
                on_demand=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
                full_feature_names=full_feature_names,
                metadata=RetrievalMetadata(
                    features=feature_refs,
                    keys=[column for column in rows.columns if column != rows.at],
                    min_event_timestamp=rows.first,
                    max_event_timestamp=rows.last,
                ),
            )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The last row of every entity with a timestamp from `start_date` to `end_date`, both included.

        Without feature columns, all columns; without join keys, one row with Feast's dummy key.
        """
        source = _look(config, data_source, timestamp_field, created_timestamp_column)
        join_key_columns = [key for key in join_key_columns if key != DUMMY_ENTITY_ID]
        newest = f"{source.instant(source.timestamp)} desc"
        if source.created:
            newest += f", {source.instant(source.created)} desc nulls last"
        keys = f"partition by {', '.join(map(source.column, join_key_columns))}" if join_key_columns else ""
        query = _between(source, join_key_columns, feature_name_columns, start_date, end_date)
        return _job(config, f"{query} qualify row_number() over ({keys} order by {newest}) = 1")

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Every row with a timestamp from `start_date` to `end_date`, both included."""
        source = _look(config, data_source, timestamp_field, created_timestamp_column)
        return _job(config, _between(source, join_key_columns, feature_name_columns, start_date, end_date))

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Append rows to the view's file, or to its folder as one more file.

        Raises
        ------
        ConfigError
            The source is a pattern: which of its files rows belong to is for whoever writes them.
        SourceError
            The rows have other columns than the file.
        """
        source = local_parquet(feature_view.batch_source)
        path = Path(local_path(source, config.repo_path))
        if glob.has_magic(str(path)):
            raise ConfigError(f"feature view {feature_view.name}: rows can't be appended to the pattern {path}")
        own = {name: column for column, name in source.field_mapping.items()}
        table = table.rename_columns([own.get(name, name) for name in table.column_names])
        if path.is_dir():
            path /= f"{uuid.uuid4().hex}.parquet"
        if path.exists():
            earlier = pq.read_table(path)
            if table.column_names != earlier.column_names:
                raise SourceError(
                    f"feature view {feature_view.name}: the rows have the columns {', '.join(table.column_names)}, "
                    f"but {path} has {', '.join(earlier.column_names)}"
                )
            table = pa.concat_tables([earlier, table.cast(earlier.schema)])
        with replacing(path) as scratch:
            pq.write_table(table, scratch)
        if progress:
            progress(table.num_rows)

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,  # noqa: ARG004  Feast's signature, here and below
        logging_config: LoggingConfig,
        registry: BaseRegistry,  # noqa: ARG004
    ) -> None:
        """Add what a feature server logged to the destination's folder, as one more file."""
        destination = logging_config.destination
        if not isinstance(destination, FileLoggingDestination):
            raise ConfigError(f"logged features go to Parquet files, not to {type(destination).__name__}")
        folder = Path(local_path(local_parquet(destination.to_data_source()), config.repo_path))
        with replacing(folder / f"{uuid.uuid4().hex}.parquet") as scratch:
            pq.write_table(data if isinstance(data, pa.Table) else pq.read_table(data), scratch)

    def validate_data_source(self, config: RepoConfig, data_source: DataSource) -> None:
        """Refuse file sources that can't be read; files that no night has written yet are fine."""
        if isinstance(data_source, FileSource):  # others, of requests and pushes, have nothing to look at
            with suppress(NotReadyError):
                _look(config, data_source)

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: DataSource
    ) -> Iterable[tuple[str, str]]:
        """Columns of any of the source's files with their Arrow types."""
        source = _look(config, data_source)
        schema = _job(config, f"select * from {source.relation} limit 0").to_arrow().schema
        return [(column.name, str(column.type)) for column in schema]


def _look(
    config: RepoConfig, source: DataSource | None, timestamp: str | None = None, created: str | None = None
) -> ParquetSource:
    with engine(config.offline_store.memory_gb, config.offline_store.threads) as connection:
        return parquet_source(connection, source, config.repo_path, timestamp, created)


def _job(config: RepoConfig, query: str, **details: Any) -> DuckDBJob:
    return DuckDBJob(query, config.offline_store.memory_gb, config.offline_store.threads, config.repo_path, **details)


def _join_keys(view: FeatureView) -> dict[str, str]:
    """Join key of the view -> column of the entity rows; a view without entities is joined by time alone."""
    keys = [column.name for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
    return {key: view.projection.join_key_map.get(key, key) for key in keys}


def _features(view: FeatureView, references: list[str], full_names: bool) -> dict[str, str]:
    """Feature asked of the view -> its name in the result."""
    own = f"{view.projection.name_to_use()}:"  # type: ignore[no-untyped-call]
    asked = [reference.removeprefix(own) for reference in references if reference.startswith(own)]
    prefix = f"{view.projection.name_alias or view.name}__" if full_names else ""
    return {feature: f"{prefix}{feature}" for feature in asked}


def _between(
    source: ParquetSource, keys: list[str], features: list[str], start: datetime | None, end: datetime | None
) -> str:
    """SQL of a source's rows; all its columns where no features are named."""
    instants = dict.fromkeys(name for name in (source.timestamp, source.created) if name)
    shown = {name: f"{source.instant(name)} as {quoted(name)}" for name in instants}
    if features:
        columns = ", ".join([source.column(name) for name in dict.fromkeys([*keys, *features]) if name not in shown])
        columns = ", ".join([columns, *shown.values()])
    else:
        columns = f"* replace ({', '.join(shown.values())})"
    if not keys:
        columns += f", {literal(DUMMY_ENTITY_VAL)} as {quoted(DUMMY_ENTITY_ID)}"
    return f"select {columns} from {source.relation} where {source.between(start, end)}"
