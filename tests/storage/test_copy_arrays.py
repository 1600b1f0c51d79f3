"""Rows with arrays reach PostgreSQL as psycopg itself would write them, whatever their length."""

from collections.abc import Iterator

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from recommender.storage.copy_arrays import Buffer, TextPool, copy_blocks, encode_bigint, encode_rows

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300)
TABLE = sql.Identifier("copied")
COLUMNS = ("publication_id", "source", "codes", "scores", "items", "name")


@st.composite
def blocks(draw: st.DrawFn) -> tuple[list[str], list[tuple[list[int], list[float], list[str], int]]]:
    """A pool of texts, and rows: positions, scores, and a name."""
    pool = draw(st.lists(TEXT, min_size=1, max_size=5))
    width = draw(st.integers(0, 4))
    rows = draw(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, len(pool) - 1), min_size=width, max_size=width),
                st.lists(st.floats(width=32, allow_nan=False), min_size=width, max_size=width),
                TEXT,
                st.integers(-(2**31), 2**31 - 1),
            ),
            min_size=1,
            max_size=6,
        )
    )
    return pool, rows  # type: ignore[return-value]


@pytest.fixture
def table(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            """create table copied (publication_id bigint, source text, codes integer[], scores real[], items text[],
                                    name text)"""
        )
        connection.commit()
        yield connection


@given(made=blocks(), coded=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_goes_in_comes_out(table: psycopg.Connection, made: tuple, coded: bool) -> None:
    texts, rows = made
    pool = TextPool(np.array(texts, object))
    positions = np.array([row[0] for row in rows], np.int32).reshape(len(rows), -1)
    scores = np.array([row[1] for row in rows], np.float32).reshape(len(rows), -1)
    codes = np.repeat(np.array([row[3] for row in rows], np.int32)[:, None], 3, axis=1)
    constants = (encode_bigint(2**40), "übung".encode())
    block = encode_rows(
        constants if coded else (*constants, None),
        (codes, scores) if coded else (scores,),
        pool,
        positions,
        np.array([row[2] for row in rows], object),
    )
    table.execute("truncate copied")
    copy_blocks(table, TABLE, COLUMNS, [block])
    with table.cursor(binary=True) as cursor:
        found = cursor.execute("select * from copied").fetchall()
    table.rollback()
    assert found == [
        (2**40, "übung", [code] * 3 if coded else None, scored, [texts[place] for place in places], name)
        for places, scored, name, code in rows
    ]


def test_the_bytes_are_those_that_psycopg_writes(table: psycopg.Connection) -> None:
    ids = np.array(["a", "ßeta", "日本", ""], object)
    positions = np.array([[3, 0], [1, 2]], np.int32)
    scores = np.array([[1.5, -2], [np.inf, 0]], np.float32)
    block = encode_rows(
        (encode_bigint(7), b"personal", None), (scores,), TextPool(ids), positions, np.array(["u", "ü"], object)
    )
    copy_blocks(table, TABLE, COLUMNS, [block])
    ours = b"".join(table.cursor().copy("copy copied to stdout (format binary)").__enter__())
    table.rollback()
    with table.cursor() as cursor, cursor.copy("copy copied from stdin (format binary)") as copy:
        copy.set_types(["int8", "text", "int4[]", "float4[]", "text[]", "text"])
        for places, scored, name in zip(positions, scores.tolist(), ("u", "ü"), strict=True):
            copy.write_row((7, "personal", None, scored, ids[places].tolist(), name))
    theirs = b"".join(table.cursor().copy("copy copied to stdout (format binary)").__enter__())
    assert ours == theirs


def test_rows_may_be_frozen_in_the_transaction_that_made_their_table(table: psycopg.Connection) -> None:
    block = encode_rows(
        (encode_bigint(1),), (), TextPool(np.array(["a"], object)), np.zeros((1, 1), np.int32), np.array(["u"], object)
    )
    table.execute("create table fresh (publication_id bigint, items text[], name text)")
    copy_blocks(table, sql.Identifier("fresh"), ("publication_id", "items", "name"), [block], freeze=True)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        copy_blocks(table, TABLE, ("publication_id", "items", "name"), [block], freeze=True)


def test_a_block_that_can_t_be_made_leaves_no_row(table: psycopg.Connection) -> None:
    def made() -> Iterator[Buffer]:
        yield encode_rows(
            (encode_bigint(1),),
            (),
            TextPool(np.array(["a"], object)),
            np.zeros((1, 1), np.int32),
            np.array(["u"], object),
        )
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        copy_blocks(table, TABLE, ("publication_id", "items", "name"), made())
    table.rollback()
    assert table.execute("select count(*) from copied").fetchone() == (0,)
