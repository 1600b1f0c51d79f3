"""Binary COPY of rows that hold arrays, built from NumPy without converting element by element.

The format is PostgreSQL's: https://www.postgresql.org/docs/current/sql-copy.html (Binary Format), with arrays
as `array_send` writes them: dimensions, null flag, element type, length, lower bound, then each element with
its length in front.
"""

import struct
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import sql

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_INT8_OID, _INT4_OID, _TEXT_OID, _FLOAT4_OID = 20, 23, 25, 700
_FLUSH_BYTES = 1 << 20

Field = bytes | None


def copy_binary(
    connection: psycopg.Connection, table: sql.Composable, columns: Sequence[str], rows: Iterator[list[Field]]
) -> None:
    """Load rows of already encoded fields; None is NULL."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(table, names)
    count = struct.pack(">h", len(columns))
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        buffer = bytearray(_SIGNATURE)
        for row in rows:
            buffer += count
            for field in row:
                if field is None:
                    buffer += b"\xff\xff\xff\xff"
                else:
                    buffer += len(field).to_bytes(4, "big")
                    buffer += field
            if len(buffer) > _FLUSH_BYTES:
                copy.write(bytes(buffer))
                buffer.clear()
        copy.write(bytes(buffer) + _TRAILER)


def encode_bigint(value: int) -> bytes:
    return struct.pack(">q", value)


def encode_int(value: int) -> bytes:
    return struct.pack(">i", value)


class TextPool:
    """Texts encoded once, so that arrays of them are joins of ready pieces."""

    def __init__(self, texts: npt.NDArray[np.object_]) -> None:
        encoded = [text.encode() for text in texts]
        self._elements = [len(text).to_bytes(4, "big") + text for text in encoded]

    def array(self, positions: npt.NDArray[np.int32]) -> bytes:
        """`text[]` of the texts at these positions."""
        elements = self._elements
        return _header(_TEXT_OID, len(positions)) + b"".join([elements[position] for position in positions.tolist()])


def encode_floats(values: npt.NDArray[np.float32]) -> bytes:
    """`real[]`."""
    return _header(_FLOAT4_OID, len(values)) + _with_lengths(values, ">f4")


def encode_ints(values: npt.NDArray[np.int32]) -> bytes:
    """`integer[]`."""
    return _header(_INT4_OID, len(values)) + _with_lengths(values, ">i4")


def encode_bigints(values: npt.NDArray[np.int64]) -> bytes:
    """`bigint[]`."""
    return _header(_INT8_OID, len(values)) + _with_lengths(values, ">i8")


def _with_lengths(values: npt.NDArray[np.generic], dtype: str) -> bytes:
    elements = np.empty(len(values), dtype=[("length", ">i4"), ("value", dtype)])
    elements["length"] = np.dtype(dtype).itemsize
    elements["value"] = values
    return elements.tobytes()


def _header(oid: int, length: int) -> bytes:
    if length == 0:
        return struct.pack(">iii", 0, 0, oid)
    return struct.pack(">iiiii", 1, 0, oid, length, 1)
