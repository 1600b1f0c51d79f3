"""Sources through the profile's mapping: DuckDB views with canonical columns and types.

Everything is read as the source has it and cast so that one bad value is a missing value and never a failed
night; whoever uses the view decides what a missing value means. The views over one source, say `events`:

    events_rows      the rows as they stand, and the text of a JSON row
    events_source    the rows as they stand
    events_joined    the same with a struct for each side table, and each row as JSON
    events           the canonical columns, and `raw`
"""

from pathlib import Path

import duckdb

from recommender.columns import RAW
from recommender.config.profile import Profile
from recommender.config.source import Source
from recommender.data.sources.macros import create_macros
from recommender.data.sources.mapping import canonical_expression, missing_columns, origin_expression, outside_bounds
from recommender.data.sources.readers import SAMPLE
from recommender.data.sources.relations import RAW_ROW, RelationOpener, UnknownColumnError
from recommender.data.sources.unparsable import UNPARSABLE, collect_unparsable, forget_readings
from recommender.errors import SourceError
from recommender.storage.duckdb_sql import one_line, quoted

__all__ = ["UNPARSABLE", "collect_unparsable", "open_source", "out_of_range"]


def open_source(connection: duckdb.DuckDBPyConnection, profile: Profile, table: str, data: Path) -> None:
    """Create views `<table>` (canonical columns and `raw`, the source row as JSON) and `<table>_source` over a source.

    Files that DuckDB can't read as they stand, side tables and databases are copied to the connection's temporary
    storage now; the rest is read when the views are. `raw` costs nothing where it isn't selected.

    Raises
    ------
    SourceError
        No file matches, a source can't be read, or an expression or a mapped column doesn't fit it.
    """
    source: Source = getattr(profile, table)
    create_macros(connection)
    opener = RelationOpener(connection, table, profile.name, data, SAMPLE)
    try:
        _open(opener, source)
    except UnknownColumnError:
        if not opener.sampled:
            raise
        _open(RelationOpener(connection, table, profile.name, data, None), source)  # keys that only late rows have


def out_of_range(connection: duckdb.DuckDBPyConnection, profile: Profile, table: str) -> dict[str, int]:
    """How many numbers of each bounded column lie outside its bounds; they were taken as missing."""
    source: Source = getattr(profile, table)
    bounded = {
        name: column for name, column in source.columns.items() if column.min is not None or column.max is not None
    }
    if not bounded:
        return {}
    counts = [f"count(*) filter (where {outside_bounds(column)})" for column in bounded.values()]
    (row,) = connection.execute(f"select {', '.join(counts)} from {table}_joined").fetchall()
    return {name: int(count) for name, count in zip(bounded, row, strict=True) if count}


def _open(opener: RelationOpener, source: Source) -> None:
    connection, table = opener.connection, opener.table
    forget_readings(connection, table)
    opener.open(source, table, table)
    available = opener.types(f"select * from {table}_source")
    for key, column in missing_columns(source, available).items():
        raise opener.unknown(source, column, available, f"{table}.columns.{key}")
    keys = {name: f"{table}.columns.{name}" for name in source.columns}
    origins = {keys[name]: origin_expression(column) for name, column in source.columns.items()}
    kinds = opener.expression_types(origins, f"{table}_joined")
    expressions = {keys[name]: canonical_expression(name, source, kinds[keys[name]], keys[name]) for name in keys}
    opener.expression_types(expressions, f"{table}_joined")
    columns = [f"{expression} as {quoted(name)}" for name, expression in zip(keys, expressions.values(), strict=True)]
    try:
        connection.execute(
            f"create or replace temp view {table} as "
            f"select {', '.join(columns)}, {quoted(RAW_ROW)} as {RAW} from {table}_joined"
        )
    except duckdb.Error as error:
        raise SourceError(f"profile {opener.profile}, {table}.columns: {one_line(error)}") from None
