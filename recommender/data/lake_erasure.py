"""Users taken out of the lake: every file with rows of theirs is written anew without them, one rename a file."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recommender.columns import RAW, USER_ID
from recommender.data.erasures import mentions
from recommender.storage.lake import replacing

_UNFINISHED = ".writing-"
_WITH_SOURCE_ROWS = ("quarantine_events", "quarantine_users", "failed_quarantine")
"""Tables that hold rows as the source had them; among them may be a user's that no id could be read from."""


def erase_from_lake(
    connection: duckdb.DuckDBPyConnection, root: Path, users: Collection[str]
) -> dict[str, Counter[str]]:
    """Remove the users' rows from every table below `root`; returns rows removed, by table and user.

    A file keeps its order of rows, row groups, schema and facts. Memory is that of one row group. Nobody may write
    to the lake meanwhile; what killed writers left goes first.
    """
    connection.register("erased", pa.table({USER_ID: pa.array(sorted(users), pa.string())}))
    removed: dict[str, Counter[str]] = {}
    for path in sorted(root.rglob("*.parquet")):
        if path.name.startswith(_UNFINISHED):
            path.unlink()
            continue
        table = path.relative_to(root).parts[0]
        counts = _erase_from_file(connection, path, users, with_source_rows=table in _WITH_SOURCE_ROWS)
        if counts:
            removed.setdefault(table, Counter()).update(counts)
    return removed


def _erase_from_file(
    connection: duckdb.DuckDBPyConnection, path: Path, users: Collection[str], *, with_source_rows: bool
) -> Counter[str]:
    removed: Counter[str] = Counter()
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        columns = [name for name in (USER_ID, *((RAW,) if with_source_rows else ())) if name in schema.names]
        if not columns:
            return removed
        kept: list[npt.NDArray[np.bool_]] = []
        for group in range(file.num_row_groups):
            owners = _owners(connection, file.read_row_group(group, columns), users)
            removed.update(owners.drop_null().to_pylist())
            kept.append(pc.is_null(owners).to_numpy(zero_copy_only=False))
        if not removed:
            return removed
        with replacing(path) as scratch, pq.ParquetWriter(scratch, schema, compression="zstd") as writer:
            for group, mask in enumerate(kept):
                rows = file.read_row_group(group).filter(pa.array(mask))
                writer.write_table(rows.cast(schema), row_group_size=max(1, rows.num_rows))
    return removed


def _owners(connection: duckdb.DuckDBPyConnection, rows: pa.Table, users: Collection[str]) -> pa.ChunkedArray:
    """The erased user that each row belongs to, null for everybody else's rows."""
    if USER_ID in rows.column_names:
        ids = rows[USER_ID].cast(pa.string())
        owners = pc.if_else(pc.is_in(ids, value_set=pa.array(sorted(users), pa.string())), ids, None)
    else:
        ids = owners = pa.chunked_array([pa.nulls(rows.num_rows, pa.string())])
    if RAW not in rows.column_names or ids.null_count == 0:
        return owners
    anonymous = np.flatnonzero(pc.is_null(ids).to_numpy(zero_copy_only=False))
    connection.register("rows", pa.table({"position": anonymous, RAW: rows[RAW].take(pa.array(anonymous))}))
    found = connection.execute(
        f"""select position, min(mention) from (select position, unnest({mentions(RAW)}) as mention from rows)
            where mention in (select {USER_ID} from erased) group by position"""
    ).fetchall()
    connection.unregister("rows")
    values = owners.to_pylist()
    for position, user in found:
        values[position] = user
    return pa.chunked_array([pa.array(values, pa.string())])
