"""A sample of a feature snapshot, read without ever holding the snapshot."""

from collections.abc import Collection
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq

from recommender.storage.duckdb_sql import literal, quoted

SAMPLE_ROWS = 20_000


def sample_rows(
    connection: duckdb.DuckDBPyConnection, path: Path, key: str, columns: Collection[str], rows: int = SAMPLE_ROWS
) -> pd.DataFrame:
    """At most so many rows of a Parquet file, with those of the `columns` that it has.

    They are those whose key has the lowest hash: the same entities in every night, whatever the order of the file and
    the number of threads, so that two nights differ by what changed and hardly by who was drawn.
    """
    wanted = [quoted(name) for name in pq.read_schema(path).names if name in columns and name != key]
    order = f"hash({quoted(key)}), {quoted(key)}"
    query = (
        f"select {', '.join([quoted(key), *wanted])} from read_parquet({literal(str(path))}) order by {order} limit ?"
    )
    found: pd.DataFrame = connection.sql(query, params=[rows]).to_arrow_table().to_pandas()
    return found.drop(columns=key)
