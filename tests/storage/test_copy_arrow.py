"""Arrow batches reach PostgreSQL value for value, whatever is missing, empty or sliced."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from recommender.storage.copy_arrow import TIMESTAMP, copy_batches, postgres_type

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
SCALARS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), TEXT),
    (pa.binary(), st.binary(max_size=9)),
    (pa.bool_(), st.booleans()),
    (pa.int32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.float32(), st.floats(width=32, allow_nan=False)),
    (pa.float64(), st.floats(allow_nan=False)),
    (TIMESTAMP, st.datetimes(datetime(1700, 1, 1), datetime(2300, 1, 1), timezones=st.just(UTC))),
]
TYPES = SCALARS + [(pa.list_(kind), st.lists(values | st.none(), max_size=4)) for kind, values in SCALARS]
TABLE = sql.Identifier("copied")
COLUMNS = [f"c{number}" for number in range(len(TYPES))]


@given(rows=st.lists(st.tuples(*(values | st.none() for _, values in TYPES)), max_size=7), cut=st.integers(0, 7))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_goes_in_comes_out(database_url: str, rows: list[tuple[Any, ...]], cut: int) -> None:
    arrays = [pa.array([row[number] for row in rows], kind) for number, (kind, _) in enumerate(TYPES)]
    batch = pa.RecordBatch.from_arrays(arrays, names=COLUMNS)
    types = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(postgres_type(kind)))
        for name, (kind, _) in zip(COLUMNS, TYPES, strict=True)
    )
    with psycopg.connect(database_url) as connection:
        connection.execute("set timezone to 'UTC'")
        connection.execute(sql.SQL("create temp table {} ({})").format(TABLE, types))
        assert copy_batches(connection, TABLE, [batch[:cut], batch[cut:]], COLUMNS) == len(rows)
        assert connection.execute("select * from copied", binary=True).fetchall() == rows


def test_a_type_without_a_counterpart_is_refused() -> None:
    with pytest.raises(ValueError, match="no PostgreSQL type for Arrow's decimal128"):
        postgres_type(pa.decimal128(10, 2))
