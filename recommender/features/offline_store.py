"""Feast's offline store over the lake: point-in-time joins as DuckDB ASOF joins.

Feast's own duckdb store joins a row with every earlier snapshot of its entity before it keeps the last one: its
time and memory grow with every night. It also refuses a lake whose older partitions lack a column that was
declared since.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import duckdb
import pandas as pd
import pyarrow as pa
from feast import FeatureView, FileSource, OnDemandFeatureView, RepoConfig
from feast.data_source import DataSource
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from recommender.storage.duckdb_sql import literal, quoted

_ROWS = "entity_rows"


class AsofOfflineStoreConfig(FeastConfigBaseModel):
    """Chooses this store in `feature_store.yaml`."""

    type: Literal["recommender.features.offline_store.AsofOfflineStore"] = (
        "recommender.features.offline_store.AsofOfflineStore"
    )


class AsofOfflineStore(OfflineStore):
    """Reads Parquet file sources; a path may be a pattern over many files."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,  # noqa: ARG004  Feast's signature, here and below
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **_: Any,
    ) -> RetrievalJob:
        """Each entity row with the values of the last snapshot at or before its timestamp; rows keep no order."""
        if not isinstance(entity_df, pd.DataFrame):
            raise NotImplementedError("this store takes entity rows as a pandas data frame")
        at = infer_event_timestamp_from_entity_df(dict(entity_df.dtypes))
        columns, joins = [f"{_ROWS}.*"], []
        for number, view in enumerate(feature_views):
            if view.ttl:
                raise NotImplementedError(f"feature view {view.name}: this store applies no time to live")
            alias, name = f"view_{number}", view.projection.name_alias or view.projection.name
            wanted = [ref.split(":")[1] for ref in feature_refs if ref.split(":")[0] == name]
            for feature in wanted:
                shown = f"{name}__{feature}" if full_feature_names else feature
                columns.append(f"{alias}.{quoted(feature)} as {quoted(shown)}")
            keys = view.projection.join_key_map or {column.name: column.name for column in view.entity_columns}
            moment = quoted(_source(view.batch_source).timestamp_field)
            matches = [f"{_ROWS}.{quoted(row_key)} = {alias}.{quoted(key)}" for key, row_key in keys.items()]
            matches.append(f"{_ROWS}.{quoted(at)} >= {alias}.{moment}")
            snapshots = f"select * replace ({moment}::timestamptz as {moment}) from {_files(view.batch_source)}"
            joins.append(f"asof left join ({snapshots}) as {alias} on {' and '.join(matches)}")
        return _Query(
            f"select {', '.join(columns)} from {_ROWS} {' '.join(joins)}",
            frames={_ROWS: entity_df},
            on_demand=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            full_feature_names=full_feature_names,
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=[column for column in entity_df.columns if column != at],
                min_event_timestamp=entity_df[at].min(),
                max_event_timestamp=entity_df[at].max(),
            ),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,  # noqa: ARG004
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The last row of every entity with a timestamp from `start_date` to `end_date`, both included."""
        keys = ", ".join(map(quoted, join_key_columns))
        newest = f"qualify row_number() over (partition by {keys} order by {quoted(timestamp_field)} desc) = 1"
        columns = [*join_key_columns, *feature_name_columns]
        return _between(data_source, columns, timestamp_field, created_timestamp_column, start_date, end_date, newest)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,  # noqa: ARG004
        data_source: DataSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Every row with a timestamp from `start_date` to `end_date`, both included."""
        columns = [*join_key_columns, *feature_name_columns]
        return _between(data_source, columns, timestamp_field, created_timestamp_column, start_date, end_date)


class _Query(RetrievalJob):
    """A DuckDB query over Parquet files and the caller's frames, run when its result is asked for."""

    def __init__(
        self,
        query: str,
        parameters: Sequence[object] = (),
        frames: Mapping[str, pd.DataFrame] | None = None,
        on_demand: list[OnDemandFeatureView] | None = None,
        full_feature_names: bool = False,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        super().__init__()
        self._query = query
        self._parameters = list(parameters)
        self._frames = dict(frames or {})
        self._on_demand = list(on_demand or [])
        self._full_feature_names = full_feature_names
        self._metadata = metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            for name, frame in self._frames.items():
                connection.register(name, frame)
            found: pa.Table = connection.sql(self._query, params=self._parameters).to_arrow_table()
        return found

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame

    def to_sql(self) -> str:
        return self._query

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata


def _between(
    source: DataSource,
    columns: list[str],
    timestamp_field: str,
    created_timestamp_column: str | None,
    start: datetime | None,
    end: datetime | None,
    qualify: str = "",
) -> _Query:
    moment = f"{quoted(timestamp_field)}::timestamptz"
    taken = [*map(quoted, columns), f"{moment} as {quoted(timestamp_field)}"]
    if created_timestamp_column:
        taken.append(quoted(created_timestamp_column))
    bounds = [(f"{moment} {sign} ?", bound) for sign, bound in ((">=", start), ("<=", end)) if bound is not None]
    where = f"where {' and '.join(condition for condition, _ in bounds)}" if bounds else ""
    return _Query(
        f"select {', '.join(taken)} from {_files(source)} {where} {qualify}",
        [bound if bound.tzinfo else bound.replace(tzinfo=UTC) for _, bound in bounds],
    )


def _files(source: DataSource | None) -> str:
    return f"read_parquet({literal(_source(source).path)}, union_by_name = true, hive_partitioning = false)"


def _source(source: DataSource | None) -> FileSource:
    if not isinstance(source, FileSource):
        raise NotImplementedError(f"this store reads Parquet file sources, not {type(source).__name__}")
    return source
