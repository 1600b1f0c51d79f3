"""Feast's file sources as DuckDB reads them: their columns by Feast's names, and their instants."""

import glob
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
from feast import FileSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource

from recommender.errors import ConfigError, NotReadyError, SourceError
from recommender.storage.duckdb_sql import column_types, literal, one_line, quoted


@dataclass(frozen=True)
class ParquetSource:
    """Local Parquet files behind one path, pattern or folder; a column that some of them lack is missing there."""

    path: str
    relation: str
    """What fits after `from`."""
    columns: Mapping[str, str]
    """Columns of any of the files, with DuckDB's types."""
    timestamp: str
    created: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Feast's name of a column -> its name in the files."""

    def column(self, name: str) -> str:
        """SQL of the column that Feast knows as `name`.

        Raises
        ------
        NotReadyError
            None of the files has it.
        """
        own = self.renamed.get(name, name)
        if own not in self.columns:
            raise NotReadyError(f"no file of {self.path} has a column {own}: run `recommender run features` first")
        return quoted(own)

    def instant(self, name: str) -> str:
        """SQL of a column as `timestamptz`; times without a zone are UTC."""
        return f"{self.column(name)}::timestamptz"

    def between(self, start: datetime | None, end: datetime | None) -> str:
        """SQL condition on the event timestamp, both bounds included; `true` without bounds."""
        column = self.column(self.timestamp)
        kind = self.columns[self.renamed.get(self.timestamp, self.timestamp)]
        # compared as it is stored, so that files outside the bounds are skipped by their statistics
        if kind not in ("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"):
            column, kind = self.instant(self.timestamp), "TIMESTAMP WITH TIME ZONE"
        bounds = [(">=", start), ("<=", end)]
        return " and ".join(f"{column} {sign} {_moment(at, kind)}" for sign, at in bounds if at is not None) or "true"


def parquet_source(
    connection: duckdb.DuckDBPyConnection,
    source: DataSource | None,
    repo_path: Path | None,
    timestamp: str | None = None,
    created: str | None = None,
) -> ParquetSource:
    """Look at a source's files; `timestamp` and `created` default to the columns that the source declares.

    Raises
    ------
    ConfigError
        The source isn't local Parquet.
    NotReadyError
        There are no files.
    SourceError
        A file is no Parquet, or the files' columns don't go together.
    """
    declared = local_parquet(source)
    path = local_path(declared, repo_path)
    pattern = str(Path(path) / "**" / "*.parquet") if Path(path).is_dir() else path
    if not any(glob.iglob(pattern, recursive=True)):  # noqa: PTH207  Path.glob takes no absolute pattern
        raise NotReadyError(f"no files match {pattern}: run `recommender run features` for a night first")
    relation = f"read_parquet({literal(pattern)}, union_by_name = true, hive_partitioning = false)"
    try:
        columns = column_types(connection, relation)
    except duckdb.Error as error:
        raise SourceError(f"{pattern} can't be read: {one_line(error)}") from None
    return ParquetSource(
        path=pattern,
        relation=relation,
        columns=columns,
        timestamp=timestamp or declared.timestamp_field,
        created=created or declared.created_timestamp_column or None,
        renamed={feature: column for column, feature in declared.field_mapping.items()},
    )


def local_parquet(source: DataSource | None) -> FileSource:
    """The source, where it is one that this store reads."""
    if not isinstance(source, FileSource):
        kind = type(source).__name__ if source else "no source"
        raise ConfigError(f"the offline store reads Parquet file sources, not {kind}")
    if not isinstance(source.file_format, ParquetFormat | None):
        raise ConfigError(f"source {source.name}: the offline store reads Parquet, not {source.file_format}")
    if "://" in source.path.removeprefix("file://"):
        raise ConfigError(f"source {source.name}: the offline store reads local files, not {source.path}")
    return source


def local_path(source: FileSource, repo_path: Path | None) -> str:
    """The source's path; a relative one starts at the feature repository."""
    return str(FileSource.get_uri_for_file_path(repo_path, source.path.removeprefix("file://")))


def _moment(at: datetime, kind: str) -> str:
    moment = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    return f"{kind} {literal((moment.replace(tzinfo=None) if kind == 'TIMESTAMP' else moment).isoformat(' '))}"
