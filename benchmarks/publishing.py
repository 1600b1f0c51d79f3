"""Loading a publication against the bare COPY of the same arrays, made ready; the switch-over; readers meanwhile.

python -m benchmarks.publishing 1000000        # as many users; 200,000 without
"""

import multiprocessing
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import psycopg
from psycopg import sql
from scipy import sparse

from benchmarks.measure import Measurement, seconds
from benchmarks.scratch import scratch_world
from recommender.config.settings import Settings
from recommender.publishing.checks import Wanted
from recommender.publishing.content import Content, UserLists
from recommender.publishing.publication import publish
from recommender.publishing.rows import LIST_COLUMNS, list_blocks
from recommender.retrieval.exact import TopK
from recommender.storage import registry
from recommender.storage.copy_arrays import TextPool, copy_blocks
from recommender.storage.postgres import connect, libpq_url

USERS, ITEMS, K, SEEN = 200_000, 20_000, 50, 20
SWITCHES, READERS = 10, 2
MOST_MILLISECONDS = 50.0
BARE = sql.Identifier("reco", "bare")


def run(users: int = USERS) -> Iterator[Measurement]:
    for measured in (lambda settings: _loads(settings, users), _switches):
        with scratch_world() as settings:
            with connect(settings) as connection:
                registry.register(connection, "bench", "bench", date(2020, 1, 1), Path("none"), "0", {}, {})
            yield from measured(settings)


def _loads(settings: Settings, users: int) -> Iterator[Measurement]:
    content, wanted = _content(users)
    nights = (date(2020, 1, 1) + timedelta(days) for days in range(100))
    ready = list(list_blocks(1, content.lists, TextPool(content.item_ids)))

    def publishes() -> None:
        _publish(settings, next(nights), content, wanted)

    def copies() -> None:
        with connect(settings) as connection:
            connection.execute("drop table if exists reco.bare")
            connection.execute(
                """create table reco.bare (publication_id bigint, source text, reasons integer[], scores real[],
                                           item_ids text[], user_id text)"""
            )
            copy_blocks(connection, BARE, LIST_COLUMNS, ready)
            connection.execute("alter table reco.bare add primary key (publication_id, user_id)")

    published, bare = seconds(publishes, copies)
    name = f"publish {users // 1000:,} k users x {K}: checked, loaded, checked again, live"
    yield Measurement(name, published, "s", "bare COPY of ready rows, with the key", bare)


def _switches(settings: Settings) -> Iterator[Measurement]:
    """Readers in a loop, each a process, across ten publications and as many rollbacks."""
    contents = [_content(2_000, mark, 2_000) for mark in ("a", "b")]
    for day, made in enumerate(contents, 1):
        _publish(settings, date(2020, 1, day), *made)
    processes = multiprocessing.get_context("spawn")
    stop, answers = processes.Event(), processes.Queue()
    readers = [processes.Process(target=_read, args=(libpq_url(settings), stop, answers)) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    for _ in readers:
        answers.get()
    switching = []
    for day in range(SWITCHES):
        _publish(settings, date(2020, 2, 1 + day), *contents[day % 2])
        with connect(settings, autocommit=True) as connection:
            started = time.perf_counter()
            connection.execute("select reco.rollback()")
            switching.append(1000 * (time.perf_counter() - started))
    stop.set()
    waits, wrong = zip(*(answers.get() for _ in readers), strict=True)
    for reader in readers:
        reader.join()
    every = np.concatenate(waits)
    yield Measurement("switch-over, longest of ten", max(switching), "ms", "what it may take", MOST_MILLISECONDS)
    yield Measurement(
        "empty or mixed answers across twenty switches", sum(wrong), "answers", "answers read", len(every)
    )
    yield Measurement(
        "a reader's wait across twenty switches, longest", float(every.max()), "ms", "median", float(np.median(every))
    )


def _read(url: str, stop: Event, answers: "multiprocessing.Queue[object]") -> None:
    """Read until told to stop; answers once when it is under way, then milliseconds of each read and wrong answers."""
    waits, wrong = [], 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set role reco_reader")
        while not stop.is_set():
            started = time.perf_counter()
            rows = connection.execute("select item_id from reco.recommend('user-3', 100)").fetchall()
            waits.append(1000 * (time.perf_counter() - started))
            wrong += len(rows) != K or len({item.partition("-")[0] for (item,) in rows}) != 1
            if len(waits) == 1:
                answers.put("reading")
    answers.put((np.array(waits), wrong))


def _publish(settings: Settings, night: date, content: Content, wanted: Wanted) -> None:
    with connect(settings, autocommit=True) as connection:
        publish(connection, night, "bench", str(night), lambda: content, keep=3, wanted=lambda: wanted)


def _content(users: int, mark: str = "item", items: int = ITEMS) -> tuple[Content, Wanted]:
    """Random lists of `K` of the items, that lack what the users have seen."""
    rng = np.random.default_rng(0)
    stride = items // (K + SEEN)
    # distinct by construction: one item of each stretch of the catalogue
    every = np.arange(K + SEEN, dtype=np.int32) * stride + rng.integers(0, stride, (users, K + SEEN), np.int32)
    every = rng.permuted(every, axis=1)
    seen = np.sort(every[:, K:], axis=1)
    scores = -np.sort(-rng.random((users, K), np.float32), axis=1)
    user_ids = np.array([f"user-{n}" for n in range(users)], object)
    similar = ((np.arange(items)[:, None] + np.arange(1, 11)) % items).astype(np.int32)
    content = Content(
        item_ids=np.array([f"{mark}-{n}" for n in range(items)], object),
        titles=np.array([f"Title number {n}" for n in range(items)], object),
        creators=np.full(items, "Somebody", object),
        lists=[UserLists("personal", user_ids, TopK(np.ascontiguousarray(every[:, :K]), scores))],
        popular=TopK(np.arange(K, dtype=np.int32)[None], scores[:1]),
        similar=TopK(similar, np.ones(similar.shape, np.float32)),
        index=None,
        top_k=K,
    )
    ends = np.arange(users + 1) * SEEN
    met = sparse.csr_matrix((np.ones(users * SEEN, np.float32), seen.ravel(), ends), (users, items))
    return content, Wanted(user_ids, met)


if __name__ == "__main__":
    for line in run(*map(int, sys.argv[1:])):
        print(line.as_dict(), flush=True)
