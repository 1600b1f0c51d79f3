"""The lake: one Parquet file a table and night, `<table>/ds=YYYY-MM-DD/data.parquet`.

A partition appears or changes by one rename: no reader and no crash ever sees half of it. Facts about a
partition (what slice it holds) travel inside the file, so that they can't disagree with it.
"""

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recommender.errors import NotReadyError, RecommenderError

FILE = "data.parquet"
_FACTS = b"recommender"


class Lake:
    """Partitions of one world."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, table: str, ds: date) -> Path:
        return self.root / table / f"ds={ds.isoformat()}" / FILE

    def glob(self, table: str) -> str:
        """A pattern over all partitions of a table, for engines that read files themselves."""
        return str(self.root / table / "ds=*" / FILE)

    def nights(self, table: str) -> list[date]:
        """Dates of the table's partitions, oldest first."""
        found = (self.root / table).glob(f"ds=*/{FILE}")
        return sorted(date.fromisoformat(path.parent.name.removeprefix("ds=")) for path in found)

    def paths(self, table: str, last: date) -> list[Path]:
        """Files of the table's partitions up to `last`, oldest first."""
        return [self.path(table, ds) for ds in self.nights(table) if ds <= last]

    def latest(self, table: str, ds: date) -> Path:
        """The newest partition not after `ds`.

        Raises
        ------
        NotReadyError
            There is none.
        """
        known = self.paths(table, ds)
        if not known:
            raise NotReadyError(f"the lake holds no {table} up to {ds}: run `recommender run ingest --ds {ds}` first")
        return known[-1]

    @contextmanager
    def writing(self, table: str, ds: date) -> Iterator[Path]:
        """Yield a scratch path; what is written there becomes the partition when the block ends without an error."""
        final = self.path(table, ds)
        final.parent.mkdir(parents=True, exist_ok=True)
        for stale in final.parent.glob(".writing-*"):
            stale.unlink(missing_ok=True)
        scratch = final.parent / f".writing-{uuid.uuid4().hex}.parquet"
        try:
            yield scratch
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
            scratch.replace(final)
        except OSError as error:
            raise RecommenderError(f"cannot write {final}: {error.strerror or error}") from error
        finally:
            scratch.unlink(missing_ok=True)

    def write(
        self, table: str, ds: date, rows: pa.Table | pd.DataFrame, facts: Mapping[str, object] | None = None
    ) -> Path:
        """Write or replace a partition."""
        content = pa.Table.from_pandas(rows, preserve_index=False) if isinstance(rows, pd.DataFrame) else rows
        metadata = dict(content.schema.metadata or {})
        metadata[_FACTS] = json.dumps(dict(facts or {}), sort_keys=True).encode()
        with self.writing(table, ds) as scratch:
            pq.write_table(
                content.replace_schema_metadata(metadata), scratch, compression="zstd", coerce_timestamps="us"
            )
        return self.path(table, ds)

    def facts(self, table: str, ds: date) -> dict[str, object]:
        """What `write` was told about a partition."""
        metadata = pq.read_schema(self.path(table, ds)).metadata or {}
        facts: dict[str, object] = json.loads(metadata.get(_FACTS, b"{}"))
        return facts

    def has_columns(self, table: str, ds: date, columns: Iterable[str]) -> bool:
        """True when the partition exists and has all these columns."""
        path = self.path(table, ds)
        return path.is_file() and set(columns) <= set(pq.read_schema(path).names)

    def read(self, table: str, ds: date) -> pd.DataFrame:
        """One partition as a frame."""
        path = self.path(table, ds)
        if not path.is_file():
            raise NotReadyError(f"the lake holds no {table} for {ds}: {path} does not exist")
        frame: pd.DataFrame = pq.ParquetFile(path).read().to_pandas()
        return frame

    def remove(self, table: str, ds: date) -> None:
        """Remove a partition if it exists."""
        self.path(table, ds).unlink(missing_ok=True)
