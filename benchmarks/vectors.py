"""Vectors in PostgreSQL: loading and indexing them, asking through the index against an exact scan, and recall."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

import hnswlib
import numpy as np
import numpy.typing as npt
import psycopg
from pgvector.psycopg import register_vector

from benchmarks.measure import Measurement, seconds
from benchmarks.scratch import scratch_world
from recommender.config.settings import Settings
from recommender.publishing import vectors
from recommender.publishing.content import Content, Vectors
from recommender.retrieval.exact import TopK
from recommender.storage import registry
from recommender.storage.postgres import connect

ROWS, DIMENSION, CLUSTERS = 100_000, 64, 500
GIVEN, ITEMS, USERS = 5, 10, 100
ASKED, ASKED_EXACTLY = 200, 20
Floats = npt.NDArray[np.float32]


def run(rows: int = ROWS) -> Iterator[Measurement]:
    with scratch_world() as settings:
        yield from _measured(settings, _content(rows))


def _measured(settings: Settings, content: Content) -> Iterator[Measurement]:
    items, users = content.item_vectors, content.user_vectors[0]
    if items is None:
        raise ValueError("there is nothing to measure without item vectors")
    with connect(settings, autocommit=True) as connection:
        _publish_nothing(settings, connection)
        yield _loading(connection, content, items)
        by_taste, by_item = _questions(items, users)
        for question in (by_taste, by_item):
            yield from _asking(connection, question)


def _loading(connection: psycopg.Connection, content: Content, items: Vectors) -> Measurement:
    def loads() -> None:
        with connection.transaction():
            for table in vectors.TABLES:
                connection.execute(f"drop table if exists reco.{table}_1")
                connection.execute(f"create table reco.{table}_1 partition of reco.{table} for values in (1)")
            vectors.load(connection, 1, content)
        connection.execute("analyze reco.item_vectors_1, reco.user_vectors_1")

    def builds() -> None:
        for values, space, links in ((items.values, "cosine", 16), (content.user_vectors[0].values, "ip", 32)):
            index = hnswlib.Index(space=space, dim=values.shape[1])
            index.init_index(max_elements=len(values), ef_construction=64, M=links)
            index.add_items(values)

    loaded, built = seconds(loads, builds, rounds=1)
    name = f"load and index {len(items.ids) // 1000} k items' and as many users' vectors of {DIMENSION}"
    return Measurement(name, loaded, "s", "hnswlib builds the same graphs in memory", built)


@dataclass(frozen=True)
class _Question:
    name: str
    ask: str
    """One argument."""
    exactly: str
    """By a scan of all rows, for the argument's vector."""
    arguments: list[list[str]] | list[str]
    targets: Floats
    wanted: npt.NDArray[np.object_]
    """(arguments, k) ids that exact search finds."""


def _questions(items: Vectors, users: Vectors) -> tuple[_Question, _Question]:
    rng = np.random.default_rng(1)
    unit = items.values / np.linalg.norm(items.values, axis=1, keepdims=True)
    similar = np.argsort(-(unit[:ASKED] @ unit.T), axis=1)
    given = np.stack([rng.choice(row[: 20 * GIVEN], GIVEN, replace=False) for row in similar])
    tastes = unit[given].mean(axis=1)
    closeness = tastes @ unit.T
    np.put_along_axis(closeness, given, -np.inf, axis=1)
    asked = rng.choice(len(items.ids), ASKED, replace=False)
    return (
        _Question(
            f"reco.recommend_by_taste of {GIVEN} items, {ITEMS}",
            f"select item_id from reco.recommend_by_taste(%s, {ITEMS})",
            f"select item_id from reco.item_vectors_1 order by embedding <=> %s limit {ITEMS + GIVEN}",
            items.ids[given].tolist(),
            tastes,
            items.ids[np.argsort(-closeness, axis=1)[:, :ITEMS]],
        ),
        _Question(
            f"reco.interested_users of an item, {USERS}",
            f"select user_id from reco.interested_users(%s, {USERS})",
            f"select user_id from reco.user_vectors_1 order by embedding <#> %s limit {USERS}",
            items.ids[asked].tolist(),
            items.values[asked],
            users.ids[np.argsort(-(items.values[asked] @ users.values.T), axis=1)[:, :USERS]],
        ),
    )


def _asking(connection: psycopg.Connection, question: _Question) -> Iterator[Measurement]:
    register_vector(connection)
    found: list[list[str]] = []

    def ask(query: str, arguments: list, answers: list[list[str]]) -> Callable[[], None]:
        def work() -> None:
            answers[:] = [[row[0] for row in connection.execute(query, [one]).fetchall()] for one in arguments]

        return work

    with connection.transaction():
        connection.execute("set local enable_indexscan = off")
        (scanned,) = seconds(ask(question.exactly, list(question.targets[:ASKED_EXACTLY]), []))
    (asked,) = seconds(ask(question.ask, question.arguments, found))
    rows = len(question.targets)
    yield Measurement(question.name, rows / asked, "calls/s", "exact scan by SQL", ASKED_EXACTLY / scanned)
    shared = [len(set(one) & set(wanted)) / len(wanted) for one, wanted in zip(found, question.wanted, strict=True)]
    yield Measurement(f"{question.name}: recall", float(np.mean(shared)), "", "exact search", 1.0)


def _publish_nothing(settings: Settings, connection: psycopg.Connection) -> None:
    with connect(settings) as other:
        registry.register(other, "bench", "bench", date(2020, 1, 1), settings.artifacts, "0", {}, {})
    vectors.available(connection)
    connection.execute(
        """insert into reco.publications (ds, model_version, status, users, items, fingerprint)
           values ('2020-01-01', 'bench', 'live', 0, 0, '')"""
    )


def _content(rows: int) -> Content:
    """Items and users about the same cluster centres; norms as unlike as those of factorised clicks."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLUSTERS, DIMENSION))

    def scattered() -> Floats:
        values = centres[rng.integers(CLUSTERS, size=rows)] + 0.7 * rng.normal(size=(rows, DIMENSION))
        return (values * rng.lognormal(0, 0.6, (rows, 1)) / np.sqrt(DIMENSION)).astype(np.float32)

    nothing = TopK(np.empty((1, 0), np.int32), np.empty((1, 0), np.float32))
    empty = np.empty(0, object)
    return Content(
        item_ids=empty,
        titles=empty,
        creators=empty,
        lists=[],
        popular=nothing,
        similar=nothing,
        index=None,
        top_k=1,
        item_vectors=Vectors(np.array([f"item-{n}" for n in range(rows)], object), scattered()),
        user_vectors=[Vectors(np.array([f"user-{n}" for n in range(rows)], object), scattered())],
    )
