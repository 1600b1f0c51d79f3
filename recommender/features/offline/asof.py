"""The SQL of point-in-time joins: rows of entities at instants, each with a view's last snapshot before its own.

DuckDB's ASOF join sorts both sides once. Feast's own duckdb store joins a row with every earlier snapshot of its
entity before it keeps the last one: its time and memory grow with every night.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb
import pandas as pd
import pyarrow as pa
from feast.infra.offline_stores.offline_utils import DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL

from recommender.errors import ConfigError
from recommender.features.offline.parquet_source import ParquetSource
from recommender.storage.duckdb_sql import column_types, one_line, quoted

_ROWS = "entity_rows"
_NUMBER = quoted("__row_number")


@dataclass(frozen=True)
class EntityRows:
    """Rows that are asked about, in the caller's order."""

    relation: str
    """What fits after `from`."""
    columns: list[str]
    at: str
    """The column with each row's instant."""
    first: datetime | None
    last: datetime | None
    frames: Mapping[str, pa.Table] = field(default_factory=dict)
    """What the relation refers to by name."""


@dataclass(frozen=True)
class View:
    """What is asked of one feature view."""

    name: str
    source: ParquetSource
    keys: Mapping[str, str]
    """Join key of the view -> column of the rows."""
    features: Mapping[str, str]
    """Feature -> the name it gets in the result."""
    ttl: timedelta | None
    """A snapshot older than this at a row's instant is not seen."""
    start: datetime | None = None
    """Snapshots before this are not seen."""


def entity_rows(connection: duckdb.DuckDBPyConnection, asked: pd.DataFrame | str) -> EntityRows:
    """Rows from a frame or a DuckDB query.

    Raises
    ------
    ConfigError
        The query can't be run, a column mixes types, or no column or more than one may be the instant.
    """
    frames: dict[str, pa.Table] = {}
    try:
        if isinstance(asked, pd.DataFrame):
            frames[_ROWS] = pa.Table.from_pandas(asked, preserve_index=False)
            connection.register(_ROWS, frames[_ROWS])
            relation = _ROWS
        else:
            relation = f"({asked.strip().rstrip(';')})"
        columns = column_types(connection, relation)
        at = _instant(columns)
        span = connection.execute(f"select min(m), max(m) from (select {quoted(at)}::timestamptz as m from {relation})")
        [(first, last)] = span.fetchall()
    except pa.ArrowException as error:
        raise ConfigError(f"entity rows: {error.args[-1]}") from None
    except duckdb.Error as error:
        raise ConfigError(f"entity rows can't be read: {one_line(error)}") from None
    return EntityRows(relation, list(columns), at, first, last, frames)


def all_rows(views: list[View], start: datetime, end: datetime) -> EntityRows:
    """Every entity at every instant from `start` to `end` at which a view has a snapshot of it."""
    at = DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL
    parts = []
    for view in views:
        keys = [f"{view.source.column(key)} as {quoted(row_key)}" for key, row_key in view.keys.items()]
        moment = f"{view.source.instant(view.source.timestamp)} as {quoted(at)}"
        condition = view.source.between(start, end)
        parts.append(f"select distinct {', '.join([*keys, moment])} from {view.source.relation} where {condition}")
    keys = list(dict.fromkeys(row_key for view in views for row_key in view.keys.values()))
    order = ", ".join(map(quoted, [at, *keys]))
    relation = f"(select * from ({' union by name '.join(parts)}) order by {order})"
    return EntityRows(relation, [*keys, at], at, start, end)


def point_in_time(rows: EntityRows, views: list[View], known_only: bool) -> str:
    """SQL that gives each row, in the rows' order, its columns and the features asked of each view.

    A view's snapshot is the last one at or before the row's instant; of several with one event timestamp the one
    created last. Never more or fewer rows than asked for; a missing key matches nothing.

    Parameters
    ----------
    known_only
        Leave out snapshots that were created after the row's instant (back-fills), where the view says when they were.
    """
    shown = [name for view in views for name in view.features.values()]
    for name in shown:
        if name in rows.columns or shown.count(name) > 1:
            raise ConfigError(f"two columns of the result would be named {name}: ask with full_feature_names=True")
    columns = [f"{_ROWS}.{quoted(column)}" for column in rows.columns]
    joins = []
    for number, view in enumerate(views):
        alias = f"view_{number}"
        moment = f"{_ROWS}.{quoted(rows.at)}"
        for position, name in enumerate(view.features.values()):
            value = f"{alias}.feature_{position}"
            if view.ttl:
                value = f"case when {moment} <= {alias}.moment + {_interval(view.ttl)} then {value} end"
            columns.append(f"{value} as {quoted(name)}")
        matches = [f"{_ROWS}.{quoted(key)} = {alias}.key_{n}" for n, key in enumerate(view.keys.values())]
        matches.append(f"{moment} >= {alias}.seen_from")
        joins.append(f"asof left join ({_snapshots(view, rows, known_only)}) as {alias} on {' and '.join(matches)}")
    instant = f"{quoted(rows.at)}::timestamptz as {quoted(rows.at)}"
    numbered = f"select * replace ({instant}), row_number() over () as {_NUMBER} from {rows.relation}"
    return f"select {', '.join(columns)} from ({numbered}) as {_ROWS} {' '.join(joins)} order by {_ROWS}.{_NUMBER}"


def _snapshots(view: View, rows: EntityRows, known_only: bool) -> str:
    """One row a key and instant `seen_from` which it is the view's last."""
    for row_key in view.keys.values():
        if row_key not in rows.columns:
            have = ", ".join(rows.columns)
            raise ConfigError(f"entity rows lack {row_key}, a join key of feature view {view.name}; they have {have}")
    source = view.source
    keys = [f"key_{number}" for number in range(len(view.keys))]
    columns = [f"{source.column(key)} as {alias}" for alias, key in zip(keys, view.keys, strict=True)]
    columns += [f"{source.column(name)} as feature_{number}" for number, name in enumerate(view.features)]
    columns.append(f"{source.instant(source.timestamp)} as moment")
    start = view.start or (rows.first - view.ttl if rows.first and view.ttl else None)
    if source.created:
        columns.append(f"{source.instant(source.created)} as created")
    snapshots = f"select {', '.join(columns)} from {source.relation} where {source.between(start, rows.last)}"
    if not source.created:
        return f"select *, moment as seen_from from ({snapshots})"
    if not known_only:
        last = f"row_number() over (partition by {', '.join([*keys, 'moment'])} order by created desc nulls last) = 1"
        return f"select *, moment as seen_from from ({snapshots}) qualify {last}"
    partition = f"partition by {', '.join(keys)}" if keys else ""
    newest = f"(moment, created) = max((moment, created)) over ({partition} order by seen_from)"
    seen = f"select *, greatest(moment, created) as seen_from from ({snapshots}) where created is not null"
    return f"select * from ({seen}) qualify {newest}"


def _interval(length: timedelta) -> str:
    return f"to_microseconds({length // timedelta(microseconds=1)})"


def _instant(columns: Mapping[str, str]) -> str:
    if DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL in columns:
        return DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL
    instants = [name for name, kind in columns.items() if kind.startswith("TIMESTAMP")]
    if len(instants) != 1:
        raise ConfigError(
            f"entity rows need one column of instants, named {DEFAULT_ENTITY_DF_EVENT_TIMESTAMP_COL}; "
            f"they have {', '.join(columns) or 'no columns'}"
        )
    return instants[0]
