"""Binary COPY of Arrow record batches, a column at a time: no Python object is made for a row or a value.

The format is PostgreSQL's: https://www.postgresql.org/docs/current/sql-copy.html (Binary Format). Values are as
their `*_send` functions write them; `_join` interleaves the columns to rows.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_EPOCH_MICROSECONDS = 946_684_800_000_000
"""2000-01-01, from which PostgreSQL counts, after 1970-01-01."""
TIMESTAMP = pa.timestamp("us", "UTC")

# Arrow type -> (PostgreSQL's name, its oid, how NumPy writes it; None for values of any length)
_SCALARS: dict[pa.DataType, tuple[str, int, str | None]] = {
    pa.bool_(): ("boolean", 16, "?"),
    pa.binary(): ("bytea", 17, None),
    pa.int64(): ("bigint", 20, ">i8"),
    pa.int32(): ("integer", 23, ">i4"),
    pa.string(): ("text", 25, None),
    pa.float32(): ("real", 700, ">f4"),
    pa.float64(): ("double precision", 701, ">f8"),
    TIMESTAMP: ("timestamp with time zone", 1184, ">i8"),
}

Bytes = npt.NDArray[np.uint8]
Counts = npt.NDArray[np.int64]


class _Fields(NamedTuple):
    """One column, encoded."""

    lengths: Counts
    """(rows,) bytes of each value; -1 is NULL."""
    data: Bytes
    """The values back to back."""


def postgres_type(arrow_type: pa.DataType) -> str:
    """The type of a column that takes this Arrow type, as `format_type` names it.

    Raises
    ------
    ValueError
        There is none here: anything but boolean, binary, int32, int64, string, float32, float64, `TIMESTAMP` and
        lists of these.
    """
    if pa.types.is_list(arrow_type):
        return f"{postgres_type(arrow_type.value_type)}[]"
    if arrow_type not in _SCALARS:
        raise ValueError(f"no PostgreSQL type for Arrow's {arrow_type}")
    return _SCALARS[arrow_type][0]


def copy_batches(
    connection: psycopg.Connection,
    table: sql.Composable,
    batches: Iterable[pa.RecordBatch],
    columns: Sequence[str],
    *,
    freeze: bool = False,
) -> int:
    """Load batches of the types `postgres_type` knows; memory is that of one batch.

    Parameters
    ----------
    columns
        Names of the table's columns, one a column of the batches.
    freeze
        Makes the rows visible to transactions that began before; `table` must be from this very transaction.

    Returns
    -------
    Rows written.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    options = sql.SQL("format binary, freeze" if freeze else "format binary")
    statement = sql.SQL("copy {} ({}) from stdin ({})").format(table, names, options)
    rows = 0
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(_SIGNATURE)
        for batch in batches:
            copy.write(encode_rows(batch))
            rows += batch.num_rows
        copy.write(_TRAILER)
    return rows


def encode_rows(batch: pa.RecordBatch) -> bytes:
    """The batch's rows between the signature and the trailer of a binary COPY."""
    count = np.frombuffer(struct.pack(">h", batch.num_columns), np.uint8)
    rows = batch.num_rows
    pieces = [(np.full(rows, 2), np.tile(count, rows))]
    for column in batch.columns:
        pieces += _with_lengths(_encode(column))
    return _join(pieces).tobytes()


def _encode(column: pa.Array) -> _Fields:
    present = column.drop_null()
    if pa.types.is_list(column.type):
        lengths, data = _encode_lists(present)
    else:
        width = _SCALARS[column.type][2]
        lengths, data = _encode_any_length(present) if width is None else _encode_fixed(present, width)
    if column.null_count:
        all_lengths = np.full(len(column), -1)
        all_lengths[column.is_valid().to_numpy(zero_copy_only=False)] = lengths
        lengths = all_lengths
    return _Fields(lengths, data)


def _encode_fixed(present: pa.Array, dtype: str) -> _Fields:
    if pa.types.is_timestamp(present.type):
        values = present.cast(pa.int64()).to_numpy() - _EPOCH_MICROSECONDS
    else:
        values = present.to_numpy(zero_copy_only=False)
    data = values.astype(dtype).view(np.uint8)
    return _Fields(np.full(len(values), np.dtype(dtype).itemsize), data)


def _encode_any_length(present: pa.Array) -> _Fields:
    _, offset_buffer, value_buffer = present.buffers()
    if len(present) == 0 or value_buffer is None:
        return _Fields(np.zeros(len(present), np.int64), np.empty(0, np.uint8))
    offsets = np.frombuffer(offset_buffer, np.int32)[present.offset : present.offset + len(present) + 1]
    return _Fields(np.diff(offsets).astype(np.int64), np.frombuffer(value_buffer, np.uint8)[offsets[0] : offsets[-1]])


def _encode_lists(present: pa.Array) -> _Fields:
    """`array_send`: dimensions, null flag, element type, length, lower bound; the elements with their lengths."""
    elements = present.flatten()
    encoded = _encode(elements)
    counts = pc.list_value_length(present).to_numpy(zero_copy_only=False).astype(np.int64)
    # bytes of each list's elements: differences of a running total at the lists' ends
    total = np.concatenate([[0], np.cumsum(np.maximum(encoded.lengths, 0) + 4)])
    ends = np.cumsum(counts)
    sizes = total[ends] - total[ends - counts]
    header = np.zeros((len(counts), 5), ">i4")
    header[:, 0] = counts > 0  # an empty list has no dimension, so neither a length nor a lower bound
    header[:, 1] = elements.null_count > 0
    header[:, 2] = _SCALARS[elements.type][1]
    header[:, 3] = counts
    header[:, 4] = 1
    shown = np.ones((len(counts), 5), bool)
    shown[counts == 0, 3:] = False
    headers = _Fields(shown.sum(axis=1) * 4, header[shown].view(np.uint8))
    data = _join([headers, (sizes, _join(_with_lengths(encoded)))])
    return _Fields(headers.lengths + sizes, data)


def _with_lengths(fields: _Fields) -> list[tuple[Counts, Bytes]]:
    """Each value's length as a piece of its own in front of it."""
    words = fields.lengths.astype(">i4").view(np.uint8)
    return [(np.full(len(fields.lengths), 4), words), (np.maximum(fields.lengths, 0), fields.data)]


def _join(pieces: Sequence[tuple[Counts, Bytes]]) -> Bytes:
    """The pieces of row 0 one after the other, then those of row 1, and so on.

    Parameters
    ----------
    pieces
        Of each piece the (rows,) number of bytes and the bytes of all rows back to back.
    """
    sizes = np.sum([lengths for lengths, _ in pieces], axis=0, dtype=np.int64)
    place = np.cumsum(sizes) - sizes
    joined = np.empty(int(sizes.sum()), np.uint8)
    for lengths, data in pieces:
        if len(lengths) and (lengths == lengths[0]).all():
            joined[place[:, None] + np.arange(lengths[0])] = data.reshape(len(lengths), -1)
        else:
            shift = place - (np.cumsum(lengths) - lengths)
            joined[np.arange(len(data)) + np.repeat(shift, lengths)] = data
        place = place + lengths
    return joined
