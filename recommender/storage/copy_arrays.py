"""Binary COPY of rows with long arrays, a block of rows at a time: no Python object is made for a row or a value.

The format is PostgreSQL's: https://www.postgresql.org/docs/current/sql-copy.html (Binary Format), with arrays
as `array_send` writes them: dimensions, null flag, element type, length, lower bound, then each element with
its length in front. A row is cut into pieces, what has a fixed size is written by NumPy, texts are written once; then
one `take` of Arrow puts the pieces of all rows one after the other.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
_TRAILER = struct.pack(">h", -1)
_TEXT_OID = 25
_NUMBERS = {np.dtype(np.float32): (700, ">f4"), np.dtype(np.int32): (23, ">i4")}
"""NumPy's type -> (oid of the array's elements, how they are written)"""
_LENGTH_BYTES, _EMPTY_BYTES, _HEADER_BYTES = 4, 12, 20

Buffer = bytes | memoryview
Field = bytes | None
Numbers = npt.NDArray[np.float32] | npt.NDArray[np.int32]


def copy_blocks(
    connection: psycopg.Connection,
    table: sql.Composable,
    columns: Sequence[str],
    blocks: Iterable[Buffer],
    *,
    freeze: bool = False,
) -> None:
    """Load blocks of encoded rows; while one is sent, a thread makes the next.

    Parameters
    ----------
    columns
        Names of the table's columns, in the order of the rows' fields.
    freeze
        Writes rows that need no look at their age ever after; `table` must be from this very transaction.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    options = sql.SQL("format binary, freeze" if freeze else "format binary")
    statement = sql.SQL("copy {} ({}) from stdin ({})").format(table, names, options)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(_SIGNATURE)
        for block in _made_ahead(iter(blocks)):
            copy.write(block)
        copy.write(_TRAILER)


class TextPool:
    """Texts encoded once, each with its length in front: as a field of a row and as an element of `text[]`."""

    def __init__(self, texts: npt.NDArray[np.object_]) -> None:
        encoded = pa.array(texts, pa.large_string()).cast(pa.large_binary())
        lengths = pc.binary_length(encoded).to_numpy(zero_copy_only=False).astype(">i4")
        self.pieces = pc.binary_join_element_wise(_pieces(lengths), encoded, pa.scalar(b"", pa.large_binary()))
        self.sizes = lengths.astype(np.int64) + _LENGTH_BYTES
        """(texts,) bytes of each, its length's included."""

    def __len__(self) -> int:
        return len(self.sizes)


def encode_rows(
    constants: Sequence[Field],
    numbers: Sequence[Numbers],
    pool: TextPool,
    positions: npt.NDArray[np.int32],
    names: npt.NDArray[np.object_],
) -> Buffer:
    """Rows of the constants, the arrays of numbers, a `text[]`, and a text, in this order.

    Parameters
    ----------
    constants
        Encoded fields that are the same in every row; None is NULL.
    numbers
        Arrays (rows, n) for columns `real[]` and `integer[]`; `n` may differ between them.
    positions
        (rows, n) of the text array's elements in `pool`.
    names
        (rows,) the last column.
    """
    rows, width = positions.shape
    fixed = np.zeros(rows, _layout(constants, numbers))
    fixed["count"] = len(constants) + len(numbers) + 2
    fixed["constants"] = np.frombuffer(b"".join(_field(constant) for constant in constants), np.uint8)
    for number, values in enumerate(numbers):
        oid, _ = _NUMBERS[values.dtype]
        elements = fixed[f"elements{number}"]
        elements["length"] = values.itemsize
        elements["value"] = values
        fixed[f"size{number}"] = _header_bytes(values.shape[1]) + values.shape[1] * (_LENGTH_BYTES + values.itemsize)
        fixed[f"header{number}"] = _header(oid, values.shape[1])
    texts = np.zeros(rows, [("size", ">i4"), ("header", ">i4", (_header_bytes(width) // 4,))])
    texts["size"] = _header_bytes(width) + pool.sizes[positions].sum(axis=1)
    texts["header"] = _header(_TEXT_OID, width)
    joined = np.concatenate([fixed.view(np.uint8).reshape(rows, -1), texts.view(np.uint8).reshape(rows, -1)], axis=1)
    order = np.empty((rows, width + 2), np.int64)
    order[:, 0] = np.arange(len(pool), len(pool) + rows)
    order[:, 1:-1] = positions
    order[:, -1] = order[:, 0] + rows
    return _take([pool.pieces, _pieces(joined), TextPool(names).pieces], order)


def encode_bigint(value: int) -> bytes:
    return struct.pack(">q", value)


def _layout(constants: Sequence[Field], numbers: Sequence[Numbers]) -> np.dtype[np.void]:
    """Of what has the same size in every row."""
    size = sum(len(_field(constant)) for constant in constants)
    fields: list[tuple[object, ...]] = [("count", ">i2"), ("constants", np.uint8, (size,))]
    for number, values in enumerate(numbers):
        width = values.shape[1]
        fields += [
            (f"size{number}", ">i4"),
            (f"header{number}", ">i4", (_header_bytes(width) // 4,)),
            (f"elements{number}", [("length", ">i4"), ("value", _NUMBERS[values.dtype][1])], (width,)),
        ]
    return np.dtype(fields)


def _field(value: Field) -> bytes:
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def _header_bytes(length: int) -> int:
    return _HEADER_BYTES if length else _EMPTY_BYTES


def _header(oid: int, length: int) -> list[int]:
    return [1, 0, oid, length, 1] if length else [0, 0, oid]  # an empty array has no dimension


def _pieces(rows: npt.NDArray[np.generic]) -> pa.LargeBinaryArray:
    """The bytes of each row of an array."""
    data = np.ascontiguousarray(rows)
    size = data.nbytes // max(len(data), 1)
    ends = np.arange(len(data) + 1, dtype=np.int64) * size
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(data), [None, pa.py_buffer(ends), pa.py_buffer(data)]
    )


def _take(pieces: Sequence[pa.LargeBinaryArray], order: npt.NDArray[np.int64]) -> Buffer:
    """The pieces in this order, as one buffer; they count through all arrays."""
    taken = pa.concat_arrays(pieces).take(pa.array(order.ravel()))
    _, ends, data = taken.buffers()
    return memoryview(data)[: int(np.frombuffer(ends, np.int64)[len(taken)])]


def _made_ahead(blocks: Iterator[Buffer]) -> Iterator[Buffer]:
    """The same blocks, the next one made by a thread meanwhile."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="encode") as worker:
        upcoming = worker.submit(next, blocks, None)
        while (block := upcoming.result()) is not None:
            upcoming = worker.submit(next, blocks, None)
            yield block
