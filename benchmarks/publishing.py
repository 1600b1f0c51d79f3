"""Loading a publication against the bare COPY of the same rows, and looking a user up against the bare row."""

import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import psycopg
from psycopg import sql

from benchmarks.measure import Measurement, seconds
from benchmarks.scratch import scratch_world
from recommender.config.settings import Settings
from recommender.publishing.content import Content, UserLists
from recommender.publishing.publication import publish
from recommender.retrieval.exact import TopK
from recommender.storage import registry
from recommender.storage.copy_arrays import TextPool, copy_binary, encode_bigint, encode_floats
from recommender.storage.postgres import connect, libpq_url

USERS, ITEMS, K, LOOKUPS = 50_000, 5_000, 50, 5_000


def run() -> Iterator[Measurement]:
    with scratch_world() as settings:
        yield from _measured(settings)


def _measured(settings: Settings) -> Iterator[Measurement]:
    content = _content()
    nights = iter(date(2020, 1, day) for day in range(1, 32))
    with connect(settings) as connection:
        registry.register(connection, "bench", "bench", date(2020, 1, 1), Path("none"), "0", {}, {})

    def publishes() -> None:
        with connect(settings, autocommit=True) as connection:
            night = next(nights)
            publish(connection, night, "bench", str(night), lambda: content, keep=1)

    copied = list(_rows(content))

    def copies() -> None:
        with connect(settings) as connection:
            connection.execute("drop table if exists reco.bare")
            connection.execute(
                """create table reco.bare (publication_id bigint, user_id text, source text,
                                           item_ids text[], scores real[])"""
            )
            columns = ["publication_id", "user_id", "source", "item_ids", "scores"]
            copy_binary(connection, sql.Identifier("reco", "bare"), columns, iter(copied))
            connection.execute("alter table reco.bare add primary key (publication_id, user_id)")

    published, bare = seconds(publishes, copies)
    name = f"publish {USERS // 1000} k users x {K}: staged, loaded, checked, live"
    yield Measurement(name, published, "s", "bare COPY of ready rows, with the key", bare)
    by_function, by_row = _lookups(settings)
    yield Measurement(
        "reco.recommend(user, 10), one warm connection", by_function, "calls/s", "select of the bare row by key", by_row
    )


def _lookups(settings: Settings) -> tuple[float, float]:
    asked = [f"user-{n}" for n in np.random.default_rng(0).integers(USERS, size=LOOKUPS)]
    rates = {"function": 0.0, "row": 0.0}
    queries = {
        "function": "select * from reco.recommend(%s, 10)",
        "row": "select item_ids[1:10], scores[1:10] from reco.bare where publication_id = 1 and user_id = %s",
    }
    with psycopg.connect(libpq_url(settings), autocommit=True) as connection:
        for _ in range(2):  # the first round warms both
            for name, query in queries.items():
                started = time.perf_counter()
                for user in asked:
                    connection.execute(query, [user], prepare=True).fetchall()
                rates[name] = LOOKUPS / (time.perf_counter() - started)
    return rates["function"], rates["row"]


def _rows(content: Content) -> Iterator[list[bytes | None]]:
    pool, lists = TextPool(content.item_ids), content.lists[0]
    for row, user_id in enumerate(lists.user_ids):
        yield [
            encode_bigint(1),
            user_id.encode(),
            b"personal",
            pool.array(lists.top.items[row]),
            encode_floats(lists.top.scores[row]),
        ]


def _content() -> Content:
    rng = np.random.default_rng(0)
    items = np.argsort(rng.random((USERS, 200)), axis=1)[:, :K].astype(np.int32) + rng.integers(
        0, ITEMS - 200, (USERS, 1), np.int32
    )
    scores = -np.sort(-rng.random((USERS, K)).astype(np.float32), axis=1)
    ids = np.array([f"item-{n}" for n in range(ITEMS)], object)
    similar = (np.arange(ITEMS)[:, None] + np.arange(1, 11)) % ITEMS
    return Content(
        item_ids=ids,
        titles=np.array([f"Title number {n}" for n in range(ITEMS)], object),
        creators=np.full(ITEMS, "Somebody", object),
        lists=[UserLists("personal", np.array([f"user-{n}" for n in range(USERS)], object), TopK(items, scores))],
        popular=TopK(np.arange(K, dtype=np.int32)[None], scores[:1]),
        similar=TopK(similar.astype(np.int32), np.ones((ITEMS, 10), np.float32)),
        index=None,
        top_k=K,
    )
