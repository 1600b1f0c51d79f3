"""Canonical creators and categories: the night's items get one spelling a name, and every merge is listed."""

import csv
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

from recommender.config.profile import personal_columns
from recommender.config.settings import Settings
from recommender.data.names.matching import Merge, find_merges, looks_like_ids
from recommender.errors import ConfigError
from recommender.storage.duckdb_sql import column_types, quoted
from recommender.storage.lake import Lake

MERGES = "name_merges"
_COLUMNS = (
    "column_name varchar, value varchar, canonical varchar, items bigint, confidence double, rule varchar, "
    "applied boolean"
)


@dataclass(frozen=True)
class NamesSummary:
    """What was done about the night's names."""

    applied: int = 0
    """Spellings that were replaced."""
    listed: int = 0
    """Spellings that may be another name, left as they are for a person to look at."""


def canonicalise(connection: duckdb.DuckDBPyConnection, settings: Settings, lake: Lake, ds: date) -> NamesSummary:
    """Replace the names in table `kept_items` by their canonical spelling; table `name_merges` says which and why.

    Columns that hold ids and personal columns are left alone. Canonical names of the last night before `ds` stay.

    Raises
    ------
    ConfigError
        The file of overrides is missing or lacks a column.
    """
    connection.execute(f"create or replace table {MERGES} ({_COLUMNS})")
    overrides = _overrides(settings)
    types = column_types(connection, "kept_items")
    applied = listed = 0
    for column in settings.profile.names.columns:
        if column not in types or column in personal_columns(settings.profile, "items"):
            continue
        source = settings.profile.items.columns.get(column) if settings.profile.items is not None else None
        is_list = types[column].endswith("[]")
        values = f"unnest({quoted(column)})" if is_list else quoted(column)
        counts = _counts(connection, f"select {values} as value from kept_items")
        if not counts or looks_like_ids(source.column if source is not None else None, counts):
            continue
        merges = find_merges(
            counts,
            settings.profile.names.apply_above,
            {value: canonical for name, value, canonical in overrides if name in ("", column)},
            *_before(connection, lake, ds, column),
        )
        _list(connection, column, merges)
        _apply(connection, column, is_list)
        done = sum(merge.applied for merge in merges)
        applied, listed = applied + done, listed + len(merges) - done
    return NamesSummary(applied, listed)


def last_merges(lake: Lake, ds: date) -> Path | None:
    """The list of the newest night up to `ds`."""
    return next(iter(lake.paths(MERGES, ds)[-1:]), None)


def _before(
    connection: duckdb.DuckDBPyConnection, lake: Lake, ds: date, column: str
) -> tuple[frozenset[str], dict[str, Merge]]:
    """The canonical names of the last night before `ds`, and its merges by value."""
    earlier = ds - timedelta(days=1)
    items, merges = lake.paths("items", earlier)[-1:], last_merges(lake, earlier)
    if merges is None or not items or not lake.has_columns("items", _night(items[0]), [column]):
        return frozenset(), {}
    name = quoted(column)
    held = connection.execute(f"select typeof({name}) from read_parquet(?) limit 1", [str(items[0])]).fetchone()
    values = f"unnest({name})" if held is not None and held[0].endswith("[]") else name
    query = f"select distinct {values} from read_parquet(?)"
    canonical = frozenset(row[0] for row in connection.execute(query, [str(items[0])]).fetchall() if row[0])
    rows = connection.execute(
        "select value, canonical, items, confidence, rule, applied from read_parquet(?) where column_name = ?",
        [str(merges), column],
    ).fetchall()
    return canonical, {row[0]: Merge(*row) for row in rows}


def _night(partition: Path) -> date:
    return date.fromisoformat(partition.parent.name.removeprefix("ds="))


def _counts(connection: duckdb.DuckDBPyConnection, values: str) -> dict[str, int]:
    query = f"select value, count(*) from ({values}) where value is not null group by value order by value"
    return {str(value): int(items) for value, items in connection.execute(query).fetchall()}


def _list(connection: duckdb.DuckDBPyConnection, column: str, merges: list[Merge]) -> None:
    table = pa.table(
        {
            "column_name": pa.array([column] * len(merges), pa.string()),
            "value": pa.array([merge.value for merge in merges], pa.string()),
            "canonical": pa.array([merge.canonical for merge in merges], pa.string()),
            "items": pa.array([merge.items for merge in merges], pa.int64()),
            "confidence": pa.array([merge.confidence for merge in merges], pa.float64()),
            "rule": pa.array([merge.rule for merge in merges], pa.string()),
            "applied": pa.array([merge.applied for merge in merges], pa.bool_()),
        }
    )
    connection.register("found_merges", table)
    connection.execute(f"insert into {MERGES} select * from found_merges order by value")
    connection.unregister("found_merges")


def _apply(connection: duckdb.DuckDBPyConnection, column: str, is_list: bool) -> None:
    name = quoted(column)
    merges = f"(select value, canonical from {MERGES} where column_name = ? and applied)"
    if not is_list:
        query = f"update kept_items set {name} = m.canonical from {merges} m where {name} = m.value"
        connection.execute(query, [column])
        return
    connection.execute(
        f"""update kept_items set {name} = changed.names
            from (select item_id, list(name order by place) as names
                  from (select item_id, coalesce(m.canonical, e.value) as name, min(e.place) as place
                        from (select item_id, unnest({name}) as value, generate_subscripts({name}, 1) as place
                              from kept_items) e
                        left join {merges} m using (value)
                        group by all)
                  group by item_id) changed
            where kept_items.item_id = changed.item_id and changed.names <> kept_items.{name}""",
        [column],
    )


def _overrides(settings: Settings) -> list[tuple[str, str, str]]:
    """(column or nothing, value, canonical) as people decided."""
    if settings.profile.names.overrides is None:
        return []
    path = settings.profile_path.parent / settings.profile.names.overrides
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            missing = {"value", "canonical"} - set(rows.fieldnames or ())
            if missing:
                raise ConfigError(f"{path} (names.overrides) has no column {min(missing)!r}: it needs value,canonical")
            decided = [(row.get("column") or "", row["value"] or "", row["canonical"] or "") for row in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path} (names.overrides): {error}") from None
    for line, (_, value, canonical) in enumerate(decided, start=2):
        if not value or not canonical:
            raise ConfigError(f"{path} (names.overrides), line {line}: value and canonical must both be given")
    return decided
