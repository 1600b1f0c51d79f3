"""Tables and queries of a database as sources."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from recommender.data.sources import collect_unparsable, open_source
from recommender.errors import SourceError
from tests.data.sources import events, profile


@pytest.fixture
def shop_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> sa.Engine:
    monkeypatch.setenv("SHOP_DATABASE", database_url)
    engine = sa.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"), poolclass=sa.NullPool)
    with engine.begin() as database:
        database.execute(sa.text("create schema shop"))
        database.execute(
            sa.text(
                """create table shop."Orders"
                   (who uuid, what numeric, "when" timestamptz, tags text[], more jsonb, n int)"""
            )
        )
        database.execute(
            sa.text(
                """insert into shop."Orders" values
                   ('00000000-0000-0000-0000-000000000001', 12345678901234567890, '2020-01-01 10:00+02',
                    '{b,a,b}', '{"k": 1}', null),
                   (null, null, null, null, null, 3)"""
            )
        )
    return engine


def test_a_table_of_a_database(connection, tmp_path: Path, shop_database) -> None:
    columns = {"tags": {"column": "tags", "type": "list"}, "k": {"sql": "more::json ->> 'k'"}, "n": {"column": "n"}}
    origin = {"database": "SHOP_DATABASE", "table": "shop.Orders"}
    open_source(connection, profile(None, columns, **origin), "events", tmp_path)
    assert connection.execute("select * exclude (ts, raw), cast(ts as varchar) from events").fetchall() == [
        ("00000000-0000-0000-0000-000000000001", "12345678901234567890", ["b", "a"], "1", None, "2020-01-01 08:00:00"),
        (None, None, None, None, "3", None),
    ]
    collect_unparsable(connection, "events")


def test_a_query_in_batches_and_with_a_limit(connection, tmp_path: Path, shop_database, monkeypatch) -> None:
    monkeypatch.setattr("recommender.data.sources.sql_source._BATCH", 10)
    query = """select 'u' || n as who, n as what, now() as "when", case when n > 15 then n end as late
               from generate_series(1, 25) n"""
    origin = {"database": "SHOP_DATABASE", "query": query}
    assert [row[0] for row in events(connection, tmp_path, None, **origin)] == [f"u{n}" for n in range(1, 26)]
    assert connection.execute("select max(late) from events_source").fetchall() == [("25",)]
    assert len(events(connection, tmp_path, None, limit=12, **origin)) == 12
    assert events(connection, tmp_path, None, database="SHOP_DATABASE", query=query + " where n > 99") == []


@pytest.mark.parametrize(
    ("url", "origin", "message"),
    [
        ("", {"table": "shop.Orders"}, "set SHOP_DATABASE to its SQLAlchemy URL"),
        ("nonsense", {"table": "shop.Orders"}, "SHOP_DATABASE is no SQLAlchemy URL"),
        ("nosuch://a/b", {"table": "shop.Orders"}, "SHOP_DATABASE: SQLAlchemy knows no such database"),
        ("postgresql://bob:s3cret@127.0.0.1:1/x", {"table": "orders"}, "cannot read orders of database SHOP_DATABASE"),
        (None, {"table": "orders"}, 'cannot read orders of database SHOP_DATABASE: relation "orders" does not exist'),
        (None, {"query": 'select wo from shop."Orders"'}, 'cannot read the query of .* column "wo" does not exist'),
        (None, {"query": "select lo_create(0) as who"}, "read-only transaction"),
        (None, {"query": "select 1 as who, 2 as who"}, "two columns named 'who'"),
        (None, {"query": "select 1 as who"}, "has no column 'what'"),
    ],
)
def test_a_database_that_refuses_is_one_line(
    connection, tmp_path: Path, shop_database, monkeypatch, url: str | None, origin: dict, message: str
) -> None:
    if url is not None:
        monkeypatch.setenv("SHOP_DATABASE", url)
    with pytest.raises(SourceError, match=message) as caught:
        events(connection, tmp_path, None, database="SHOP_DATABASE", **origin)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with shop_database.connect() as database:
        assert database.execute(sa.text('select count(*) from shop."Orders"')).scalar() == 2
