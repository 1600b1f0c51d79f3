"""The lake: one Parquet file a table and night, `<table>/ds=YYYY-MM-DD/data.parquet`.

A partition appears or changes by one rename: no reader and no crash ever sees half of it. Facts about a
partition (what slice it holds) travel inside the file, so that they can't disagree with it.

Many small partitions of a table whose rows say the night that landed them are merged into one,
`<table>/until=YYYY-MM-DD/data.parquet`; it stands for all nights up to that date.
"""

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from recommender.columns import LANDED
from recommender.errors import NotReadyError, RecommenderError
from recommender.storage.duckdb_sql import literal, one_line, paths

FILE = "data.parquet"
_FACTS = "recommender"
_NIGHTS = "nights"


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
        """Dates of the table's partitions, oldest first, merged ones among them."""
        merged = self._merged(table)
        return sorted({*self._partitions(table, merged), *(self._merged_facts(merged) if merged else ())})

    def paths(self, table: str, last: date) -> list[Path]:
        """Files of the table's partitions up to `last`, oldest first."""
        return [self.path(table, ds) for ds in self._partitions(table, self._merged(table)) if ds <= last]

    def files(self, table: str, last: date) -> list[Path]:
        """Files that hold every row landed up to `last`, a merged one first; it may hold later rows too."""
        merged = self._merged(table)
        partitions = [self.path(table, ds) for ds in self._partitions(table, merged) if ds <= last]
        return [merged, *partitions] if merged else partitions

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
        with replacing(self.path(table, ds)) as scratch:
            yield scratch

    def write(
        self, table: str, ds: date, rows: pa.Table | pd.DataFrame, facts: Mapping[str, object] | None = None
    ) -> Path:
        """Write or replace a partition."""
        content = pa.Table.from_pandas(rows, preserve_index=False) if isinstance(rows, pd.DataFrame) else rows
        metadata = {**(content.schema.metadata or {}), _FACTS.encode(): _json(facts or {}).encode()}
        with self.writing(table, ds) as scratch:
            pq.write_table(
                content.replace_schema_metadata(metadata), scratch, compression="zstd", coerce_timestamps="us"
            )
        return self.path(table, ds)

    def copy(
        self,
        connection: duckdb.DuckDBPyConnection,
        query: str,
        table: str,
        ds: date,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        """Write or replace a partition by what a DuckDB query returns, streaming.

        A night that has been merged is replaced inside its merged file.
        """
        merged = self._merged(table)
        if merged is None or ds > _until(merged):
            with self.writing(table, ds) as scratch:
                _copy(connection, query, scratch, facts or {})
            return
        others = f"select * from {parquet([merged])} where {LANDED} <> date '{ds}'"
        nights = {**self._merged_facts(merged), ds: dict(facts or {})}
        with replacing(merged) as scratch:
            _copy(connection, f"{others} union all by name ({query})", scratch, _of_nights(nights))

    def merge(self, table: str, keep: int) -> int:
        """Merge all but the newest `keep` partitions of a table with a `landed` column; returns how many.

        What was merged stays for those who are about to read it, until `remove_merged`.
        """
        earlier = self._merged(table)
        todo = self._partitions(table, earlier)[:-keep]
        if todo:
            files = [*([earlier] if earlier else []), *(self.path(table, ds) for ds in todo)]
            nights = self._merged_facts(earlier) if earlier else {}
            nights |= {ds: self.facts(table, ds) for ds in todo}
            final = self.root / table / f"until={todo[-1].isoformat()}" / FILE
            with duckdb.connect() as connection, replacing(final) as scratch:
                _copy(connection, f"select * from {parquet(files)}", scratch, _of_nights(nights))
        return len(todo)

    def remove_merged(self, table: str) -> None:
        """Remove the partitions that the newest merged one stands for."""
        newest = self._merged(table)
        if newest is None:
            return
        for file in (self.root / table).glob(f"*/{FILE}"):
            if file != newest and file.parent.name.partition("=")[2] <= newest.parent.name.partition("=")[2]:
                file.unlink()
                if not any(file.parent.iterdir()):
                    file.parent.rmdir()

    def facts(self, table: str, ds: date) -> dict[str, object]:
        """What `write` or `copy` was told about a partition."""
        merged = self._merged(table)
        if merged is not None and ds <= _until(merged):
            return self._merged_facts(merged).get(ds, {})
        return _read_facts(self.path(table, ds))

    def has_columns(self, table: str, ds: date, columns: Iterable[str]) -> bool:
        """True when the partition exists and has all these columns."""
        path = self.path(table, ds)
        return path.is_file() and set(columns) <= set(pq.read_schema(path).names)

    def read(self, table: str, ds: date) -> pd.DataFrame:
        """One partition as a frame."""
        merged = self._merged(table)
        if merged is not None and ds <= _until(merged):
            found: pd.DataFrame = pq.read_table(merged, filters=[(LANDED, "=", ds)]).to_pandas()
            return found
        path = self.path(table, ds)
        if not path.is_file():
            raise NotReadyError(f"the lake holds no {table} for {ds}: {path} does not exist")
        frame: pd.DataFrame = pq.ParquetFile(path).read().to_pandas()
        return frame

    def remove(self, table: str, ds: date) -> None:
        """Remove a partition if it exists."""
        self.path(table, ds).unlink(missing_ok=True)

    def _partitions(self, table: str, merged: Path | None) -> list[date]:
        """Nights with a file of their own that no merged file stands for."""
        found = (self.root / table).glob(f"ds=*/{FILE}")
        nights = sorted(date.fromisoformat(path.parent.name.removeprefix("ds=")) for path in found)
        return nights if merged is None else [ds for ds in nights if ds > _until(merged)]

    def _merged(self, table: str) -> Path | None:
        return max((self.root / table).glob(f"until=*/{FILE}"), default=None)

    def _merged_facts(self, merged: Path) -> dict[date, dict[str, object]]:
        nights = _read_facts(merged)[_NIGHTS]
        return {date.fromisoformat(ds): facts for ds, facts in nights.items()} if isinstance(nights, dict) else {}


def parquet(files: Iterable[Path]) -> str:
    """Some partitions as a DuckDB relation: a column that one of them lacks is missing in its rows."""
    return f"read_parquet({paths(files)}, union_by_name = true, hive_partitioning = false)"


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """A scratch path beside `final` that replaces it when the block ends without an error.

    A kill leaves a file `.writing-*` there, which the next one removes.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        for stale in final.parent.glob(".writing-*"):
            stale.unlink(missing_ok=True)
        scratch = final.parent / f".writing-{uuid.uuid4().hex}.parquet"
        try:
            yield scratch
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
            scratch.replace(final)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise RecommenderError(f"cannot write {final}: {error.strerror or error}") from error
    except duckdb.IOException as error:
        raise RecommenderError(f"cannot write {final}: {one_line(error)}") from error


def _copy(connection: duckdb.DuckDBPyConnection, query: str, scratch: Path, facts: Mapping[str, object]) -> None:
    metadata = f"{{{_FACTS}: {literal(_json(facts))}}}"
    connection.execute(
        f"copy ({query}) to {literal(str(scratch))} (format parquet, compression zstd, kv_metadata {metadata})"
    )


def _read_facts(path: Path) -> dict[str, object]:
    facts: dict[str, object] = json.loads((pq.read_schema(path).metadata or {}).get(_FACTS.encode(), b"{}"))
    return facts


def _of_nights(nights: Mapping[date, Mapping[str, object]]) -> dict[str, object]:
    return {_NIGHTS: {ds.isoformat(): dict(facts) for ds, facts in sorted(nights.items())}}


def _until(merged: Path) -> date:
    return date.fromisoformat(merged.parent.name.removeprefix("until="))


def _json(facts: Mapping[str, object]) -> str:
    return json.dumps(dict(facts), sort_keys=True)
