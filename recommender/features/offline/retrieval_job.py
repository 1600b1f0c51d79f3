"""A DuckDB query as Feast's retrieval job: run when its result is asked for, in bounded memory."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from feast import OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage

from recommender.errors import RecommenderError, SourceError
from recommender.features.offline.parquet_source import local_parquet, local_path
from recommender.storage.duckdb_sql import one_line
from recommender.storage.lake import FILE, replacing


class DuckDBJob(RetrievalJob):
    """What `AsofOfflineStore` answers.

    Parameters
    ----------
    memory_gb, threads
        Limits of the engine that runs the query; what doesn't fit is spilled to a temporary folder.
    frames
        Tables that the query refers to by name.
    repo_path
        Where relative paths start.
    """

    def __init__(
        self,
        query: str,
        memory_gb: float,
        threads: int | None,
        repo_path: Path | None = None,
        frames: Mapping[str, pa.Table] | None = None,
        on_demand: Sequence[OnDemandFeatureView] = (),
        full_feature_names: bool = False,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        super().__init__()
        self._query = query
        self._memory_gb = memory_gb
        self._threads = threads
        self._repo_path = repo_path
        self._frames = dict(frames or {})
        self._on_demand = list(on_demand)
        self._full_feature_names = full_feature_names
        self._metadata = metadata

    def to_arrow_batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """The result in batches of about `rows` rows, which the engine makes as they are taken.

        On-demand features need the whole result at once.
        """
        if self._on_demand:
            yield from self.to_arrow().to_batches(rows)
        else:
            with self._result() as result:
                yield from result.to_arrow_reader(rows)

    def to_sql(self) -> str:
        return self._query

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the result to a Parquet file, or into a folder where the path doesn't end in `.parquet`."""
        path = Path(local_path(local_parquet(storage.to_data_source()), self._repo_path))
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(path))
        final = path if path.suffix == ".parquet" else path / FILE
        with replacing(final) as scratch:
            pq.write_table(self.to_arrow(timeout=timeout), scratch)
        if final != path:
            for earlier in set(path.glob("*.parquet")) - {final}:
                earlier.unlink()

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with self._result() as result:
            return result.to_arrow_table()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame

    @contextmanager
    def _result(self) -> Iterator[duckdb.DuckDBPyRelation]:
        try:
            with engine(self._memory_gb, self._threads) as connection:
                for name, table in self._frames.items():
                    connection.register(name, table)
                yield connection.sql(self._query)
        except duckdb.OutOfMemoryException:
            raise RecommenderError(
                f"the offline store needs more than {self._memory_gb:g} GB: "
                "raise memory_gb under offline_store in feature_store.yaml, or ask for fewer rows"
            ) from None
        except duckdb.Error as error:
            raise SourceError(f"features can't be read: {one_line(error)}") from None


@contextmanager
def engine(memory_gb: float, threads: int | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB within limits; what it spills to disk is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="recommender-") as spilled:
        limits: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_gb}GB",
            "temp_directory": spilled,
        }
        if threads:
            limits["threads"] = threads
        with duckdb.connect(config=limits) as connection:
            connection.execute("set timezone = 'UTC'")
            yield connection
