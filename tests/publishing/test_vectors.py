"""Vectors in SQL: near a taste, near an item, users near an item; with pgvector and without."""

from dataclasses import replace
from datetime import date

import numpy as np
import psycopg
import pytest
from psycopg import sql

from recommender.config.settings import Settings
from recommender.errors import PublicationError
from recommender.publishing import vectors
from recommender.publishing.content import Content, Vectors
from recommender.publishing.publication import publish
from recommender.retrieval.exact import TopK
from recommender.storage.postgres import READER, connect, migrate
from tests.publishing.contents import MODEL, made

NIGHT = date(2020, 1, 1)
UP, RIGHT, LEFT, NOWHERE = [0, 1], [1, 0], [-1, 0], [0, 0]


def ids_of(mark: str, count: int) -> np.ndarray:
    return np.array([f"{mark}-{n}" for n in range(count)], object)


def with_vectors(items: np.ndarray, users: np.ndarray | None = None) -> Content:
    """As many items as vectors, `item-0`, `item-1` …; popular in the order of their numbers; nothing is similar."""
    count = len(items)
    content = made("a", k=count)
    order = np.arange(count, dtype=np.int32)[None]
    return replace(
        content,
        item_ids=ids_of("item", count),
        popular=TopK(order, np.linspace(1, 0.1, count, dtype=np.float32)[None]),
        similar=TopK(np.empty((count, 0), np.int32), np.empty((count, 0), np.float32)),
        item_vectors=Vectors(ids_of("item", count), np.float32(items)),
        user_vectors=[] if users is None else [Vectors(ids_of("user", len(users)), np.float32(users))],
    )


def release(settings: Settings, content: Content, night: date = NIGHT) -> int:
    with connect(settings, autocommit=True) as connection:
        return publish(connection, night, MODEL, str(night), lambda: content, 5)[0]


def ask(settings: Settings, query: str, *parameters: object) -> list[tuple]:
    with connect(settings) as connection:
        return connection.execute(query, parameters).fetchall()


def by_taste(settings: Settings, *items: str | None, k: int = 10) -> list[tuple[str, float]]:
    rows = ask(settings, "select rank, item_id, score from reco.recommend_by_taste(%s, %s)", list(items), k)
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    return [(item, pytest.approx(score, abs=1e-6)) for _, item, score in rows]


def items_of(rows: list[tuple]) -> list[str]:
    return [row[0] for row in rows]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def overlap(found: list[list[str]], wanted: list[list[str]]) -> float:
    return float(np.mean([len(set(one) & set(other)) / len(other) for one, other in zip(found, wanted, strict=True)]))


def remove_pgvector(connection: psycopg.Connection) -> None:
    connection.execute("drop table reco.item_vectors, reco.user_vectors")
    connection.execute("drop extension vector")


@pytest.fixture
def without_pgvector(world: Settings) -> Settings:
    """The tables and the extension are gone, and nobody puts them back."""
    with connect(world, "postgres", autocommit=True) as connection:
        remove_pgvector(connection)
        connection.execute("create or replace function reco.enable_vectors() returns boolean language sql return false")
    return world


def test_taste_is_the_mean_direction_of_the_given_items(world: Settings) -> None:
    release(world, with_vectors(np.array([[5, 0], [0, 0.1], [2, 2], [1, 0.2], LEFT])))
    found = by_taste(world, "item-0", "item-1")
    # (1, 0) and (0, 1) count alike, long or short
    assert found == [("item-2", 1.0), ("item-3", 1.2 / np.sqrt(2 * 1.04)), ("item-4", -np.sqrt(0.5))]
    assert by_taste(world, "item-0", "item-1", "item-0", None, "unknown") == found
    assert items_of(by_taste(world, "item-0", k=2)) == ["item-3", "item-2"]


def test_where_nothing_is_known_the_popular_are_recommended(world: Settings) -> None:
    release(world, with_vectors(np.array([RIGHT, LEFT, UP, NOWHERE])))
    popular = [f"item-{n}" for n in range(4)]
    assert items_of(by_taste(world)) == popular
    assert items_of(by_taste(world, "unknown", None)) == popular
    assert items_of(by_taste(world, "item-3")) == popular[:3]  # has no direction
    assert items_of(by_taste(world, "item-0", "item-1")) == popular[2:]  # cancel each other out
    assert len(ask(world, "select * from reco.recommend_by_taste(null)")) == 4
    assert ask(world, "select * from reco.recommend_by_taste(null, -1)") == []
    assert len(ask(world, "select * from reco.recommend_by_taste(null, null)")) == 4
    assert by_taste(world, "item-2", k=10**9) == [("item-0", 0.0), ("item-1", 0.0)]  # never what has no direction


def test_before_the_first_publication_there_is_nothing(world: Settings) -> None:
    assert by_taste(world, "item-0") == []
    assert ask(world, "select * from reco.interested_users('item-0')") == []


def test_an_item_without_similar_ones_gets_those_near_its_vector(world: Settings) -> None:
    release(world, with_vectors(np.array([RIGHT, [1, 0.1], UP])))
    with connect(world) as connection:
        connection.execute(
            "update reco.catalogue set similar_ids = '{item-2}', similar_scores = '{0.5}' where item_id = 'item-1'"
        )
    assert ask(world, "select rank, item_id from reco.similar_items('item-0')") == [(1, "item-1"), (2, "item-2")]
    assert ask(world, "select * from reco.similar_items('item-1')") == [(1, "item-2", 0.5)]
    assert ask(world, "select * from reco.similar_items('unknown')") == []
    assert ask(world, "select * from reco.similar_items('item-0', 0)") == []


def test_interested_users_are_those_with_the_largest_inner_product(world: Settings) -> None:
    release(world, with_vectors(np.array([RIGHT, UP]), np.array([[0.5, 1], [3, 0], NOWHERE, LEFT])))
    found = ask(world, "select * from reco.interested_users('item-0', 3)")
    assert found == [(1, "user-1", 3.0), (2, "user-0", 0.5), (3, "user-2", 0.0)]
    assert ask(world, "select * from reco.interested_users('unknown')") == []
    assert ask(world, "select * from reco.interested_users(null)") == []


def test_the_indexes_agree_with_exact_search(world: Settings) -> None:
    rng = np.random.default_rng(0)
    items, users = (
        (rng.normal(size=(2_000, 8)) * rng.lognormal(0, 0.5, (2_000, 1))).astype(np.float32) for _ in range(2)
    )
    users = users[np.argsort(-np.linalg.norm(users, axis=1))]  # the order that is worst for a graph
    release(world, with_vectors(items, users))
    given = [rng.choice(2_000, 3, replace=False) for _ in range(20)]
    tastes = np.stack([unit(items[one]).mean(axis=0) for one in given])
    closeness = tastes @ unit(items).T
    for row, one in enumerate(given):
        closeness[row, one] = -np.inf
    near = [[f"item-{n}" for n in row] for row in np.argsort(-closeness, axis=1)[:, :20]]
    keen = [[f"user-{n}" for n in row] for row in np.argsort(-items[:20] @ users.T, axis=1)[:, :50]]
    with connect(world) as connection:
        connection.execute("set local enable_seqscan = off")  # which is faster, and exact, for as few rows
        connection.execute("set local hnsw.ef_search = 77")
        taste = "select item_id from reco.recommend_by_taste(%s, 20)"
        found = [items_of(connection.execute(taste, [[f"item-{n}" for n in one]]).fetchall()) for one in given]
        assert overlap(found, near) >= 0.98
        interested = "select user_id from reco.interested_users(%s, 50)"
        found = [items_of(connection.execute(interested, [f"item-{n}"]).fetchall()) for n in range(20)]
        assert overlap(found, keen) >= 0.95
        # more rows than a beam is wide
        assert len(connection.execute("select * from reco.interested_users('item-0', 1200)").fetchall()) == 1_200
        # the transaction's own settings are as they were
        assert connection.execute("show hnsw.ef_search").fetchone() == ("77",)
        assert connection.execute("show hnsw.iterative_scan").fetchone() == ("off",)
        connection.execute("select pg_stat_force_next_flush()")
        connection.commit()
        scans = connection.execute(
            """select relname, idx_scan from pg_stat_user_indexes join pg_index using (indexrelid)
               where relname ~ '_vectors_' and not indisunique order by 1"""
        ).fetchall()
    assert scans == [("item_vectors_1", 20), ("user_vectors_1", 21)]


def test_a_read_only_transaction_of_a_reader_may_ask(world: Settings) -> None:
    release(world, with_vectors(np.array([RIGHT, UP]), np.array([RIGHT])))
    with connect(world, READER) as connection:
        connection.execute("set transaction read only")
        asked = "select item_id from reco.recommend_by_taste('{item-0}')"
        for _ in range(7):  # prepared from the fifth on
            assert connection.execute(asked, prepare=True).fetchall() == [("item-1",)]
    for refused in (
        "select * from reco.interested_users('item-0')",
        "select * from reco.near_items(1, '{item-0}', 10)",
        "select * from reco.user_vectors",
        "select reco.enable_vectors()",
    ):
        with connect(world, READER) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(refused)


@pytest.mark.parametrize("dimension", [1, 2_001, 4_001])
def test_any_dimension_can_be_asked(world: Settings, dimension: int) -> None:
    values = np.random.default_rng(0).normal(size=(30, dimension))
    release(world, with_vectors(values, values))
    assert len(by_taste(world, "item-3", k=20)) == 20
    wanted = f"user-{np.argmax(values @ values[3])}"
    assert ask(world, "select user_id from reco.interested_users('item-3', 1)") == [(wanted,)]
    indexes = ask(world, "select indexdef from pg_indexes where tablename = 'item_vectors_1' and indexdef ~ 'hnsw'")
    assert [("halfvec" in row[0]) for row in indexes] == {1: [False], 2_001: [True], 4_001: []}[dimension]


def test_many_equal_vectors_are_all_found(world: Settings) -> None:
    release(world, with_vectors(np.ones((500, 1)), np.ones((500, 1))))
    assert len(by_taste(world, "item-0", k=499)) == 499
    assert len(ask(world, "select * from reco.interested_users('item-0', 500)")) == 500


@pytest.mark.parametrize(
    ("users", "reason"),
    [(np.array([[1.0, np.nan]]), "1 user vectors hold values that are not numbers"), (np.ones((2, 3)), r"\[2, 3\]")],
)
def test_vectors_that_make_no_sense_are_refused(world: Settings, users: np.ndarray, reason: str) -> None:
    with connect(world) as connection, pytest.raises(PublicationError, match=reason):
        vectors.load(connection, 7, with_vectors(np.array([RIGHT]), users))


def test_where_shared_memory_is_short_one_process_builds(world: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = psycopg.Connection.execute
    failures = []

    def short(connection: psycopg.Connection, query: object, *rest: object) -> object:
        text = query.as_string(connection) if isinstance(query, sql.Composable) else str(query)
        workers = execute(connection, "show max_parallel_maintenance_workers").fetchone()
        if "using hnsw" in text and workers != ("0",):
            failures.append(text)
            raise psycopg.errors.DiskFull("could not resize shared memory segment")
        return execute(connection, query, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Connection, "execute", short)
        release(world, with_vectors(np.array([RIGHT, UP])))
    assert len(failures) == 1
    assert by_taste(world, "item-0") == [("item-1", 0.0)]


def test_an_extension_in_any_schema_is_picked_up_when_it_comes(world: Settings) -> None:
    with connect(world, "postgres", autocommit=True) as connection:
        remove_pgvector(connection)
        connection.execute('create schema "Our extensions"; grant usage on schema "Our extensions" to reco_writer')
        connection.execute('create extension vector schema "Our extensions"')
    release(world, with_vectors(np.array([RIGHT, UP]), np.array([RIGHT])))
    assert by_taste(world, "item-0") == [("item-1", 0.0)]
    assert ask(world, "select user_id from reco.interested_users('item-0')") == [("user-0",)]


def test_an_extension_that_the_writer_may_not_use_is_none(world: Settings) -> None:
    with connect(world, "postgres", autocommit=True) as connection:
        remove_pgvector(connection)
        connection.execute("create schema closed")
        connection.execute("create extension vector schema closed")
    with connect(world) as connection:
        assert not vectors.available(connection)
    release(world, made("a"))
    assert len(by_taste(world, "a-item-0")) == 3


def test_without_pgvector_the_similar_items_of_the_given_add_up(without_pgvector: Settings) -> None:
    content = made("a", k=5)
    similar = TopK(
        np.array([[1, 2], [0, 3], [3, 4], [1, 4], [3, 1]], np.int32),
        np.float32([[0.9, 0.2], [0.8, 0.3], [0.6, 0.5], [0.4, 0.1], [0.2, 0.1]]),
    )
    release(without_pgvector, replace(content, similar=similar))
    assert by_taste(without_pgvector, "a-item-0", "a-item-2", "a-item-2", "unknown") == [
        ("a-item-1", 0.45),
        ("a-item-3", 0.3),
        ("a-item-4", 0.25),
    ]
    with connect(without_pgvector) as connection:
        connection.execute(
            "update reco.catalogue set similar_ids = '{}', similar_scores = '{}' where item_id = 'a-item-4'"
        )
    assert items_of(by_taste(without_pgvector, "a-item-4")) == [f"a-item-{n}" for n in range(4)]
    assert items_of(by_taste(without_pgvector, "a-item-0", "a-item-1", k=1)) == ["a-item-3"]
    assert ask(without_pgvector, "select * from reco.interested_users('a-item-0')") == []
    with connect(without_pgvector) as connection:
        assert not vectors.available(connection)
        connection.execute("update reco.catalogue set hidden = true where item_id = 'a-item-3'")
    assert items_of(by_taste(without_pgvector, "a-item-0", "a-item-2")) == ["a-item-1", "a-item-4"]


def test_enabling_again_changes_nothing(world: Settings) -> None:
    release(world, with_vectors(np.array([RIGHT, UP])))
    for _ in range(2):
        with connect(world) as connection:
            assert vectors.available(connection)
    migrate(world)
    assert by_taste(world, "item-0") == [("item-1", 0.0)]
