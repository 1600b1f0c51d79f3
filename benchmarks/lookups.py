"""`reco.recommend` against a bare select of the same row by its key: pgbench rates by turns, and the slowest calls."""

import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import psutil
import psycopg

from benchmarks.measure import Measurement
from benchmarks.scratch import scratch_world
from recommender.config.settings import Settings
from recommender.publishing.content import Content, UserLists
from recommender.publishing.publication import publish
from recommender.retrieval.exact import TopK
from recommender.storage import registry
from recommender.storage.postgres import READER, WRITER, connect, libpq_url

USERS, ITEMS, LISTED, TEXTS, PUBLICATIONS = 20_000, 5_000, 100, 3_000, 5
ROUNDS, SECONDS, WARM_UP, CALLS = 5, 1, 500, 20_000
PROMISED_MS = 1.0

_BARE = "select item_ids, scores, source, reasons from {} where publication_id = {} and user_id = 'user-' || :id"
_FUNCTION = "select * from reco.recommend('user-' || :id, {})"


def run() -> Iterator[Measurement]:
    with scratch_world() as settings:
        for told in (False, True):
            live = _fill(settings, told)
            kind = "with reasons" if told else "without reasons"
            for clients in (1, 2):
                yield from _rates(settings, live, kind, clients)
        p99 = _slowest(settings)
    yield Measurement("reco.recommend(user, 10), p99 from a warm connection", p99, "ms", "promised", PROMISED_MS)


def _rates(settings: Settings, live: int, kind: str, clients: int) -> Iterator[Measurement]:
    """Calls a second of the function, and of the bare row through the parent table and straight from the partition."""
    queries = {
        "10": _FUNCTION.format(10),
        str(LISTED): _FUNCTION.format(LISTED),
        "parent": _BARE.format("reco.recommendation_lists", live),
        "partition": _BARE.format(f"reco.recommendation_lists_{live}", live),
    }
    found: dict[str, list[float]] = {name: [] for name in queries}
    for _ in range(ROUNDS):
        for name, query in queries.items():
            role = READER if name.isdigit() else WRITER
            found[name].append(_pgbench(libpq_url(settings), query, role, clients))
    rates = {name: statistics.median(values) for name, values in found.items()}
    for k in ("10", str(LISTED)):
        for table in ("parent", "partition"):
            name = f"reco.recommend(user, {k}) {kind}, pgbench -c {clients}"
            yield Measurement(name, rates[k], "calls/s", f"bare row of {LISTED} by key, {table}", rates[table])


def _pgbench(url: str, query: str, role: str, clients: int) -> float:
    """Transactions a second of one prepared query with a random user."""
    with psycopg.connect(url) as connection:
        beside_server = Path(psutil.Process(connection.info.backend_pid).exe()).parent
        name, host = connection.info.dbname, connection.info.host
    program = shutil.which("pgbench", path=f"{beside_server}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        raise FileNotFoundError("the look-ups are measured with pgbench: install PostgreSQL's client programs")
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(f"\\set id random(0, {USERS - 1})\n{query};\n")
        script.flush()
        arguments = ["-n", "-M", "prepared", "-c", clients, "-j", clients, "-T", SECONDS, "-f", script.name]
        printed = subprocess.run(
            [program, *map(str, arguments), "-h", host, "-U", "postgres", name],
            env={**os.environ, "PGOPTIONS": f"-c role={role}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    rate = re.search(r"tps = ([\d.]+)", printed)
    if rate is None:
        raise ValueError(f"pgbench printed no rate: {printed}")
    return float(rate[1])


def _slowest(settings: Settings) -> float:
    """Milliseconds of the 99th percentile of a call, from psycopg on one warm connection."""
    asked = [f"user-{n}" for n in np.random.default_rng(0).integers(USERS, size=WARM_UP + CALLS)]
    taken = np.empty(len(asked))
    with connect(settings, READER, autocommit=True) as connection:
        for n, user in enumerate(asked):
            started = time.perf_counter()
            connection.execute("select * from reco.recommend(%s, 10)", [user], prepare=True).fetchall()
            taken[n] = time.perf_counter() - started
    return float(np.quantile(taken[WARM_UP:], 0.99) * 1000)


def _fill(settings: Settings, told: bool) -> int:
    """As many publications as are kept by default; returns the live one."""
    content = _content(told)
    with connect(settings, autocommit=True) as connection:
        registered = connection.execute("select from reco.models where model_version = 'bench'").fetchone()
        if registered is None:
            registry.register(connection, "bench", "bench", date(2020, 1, 1), Path("none"), "0", {}, {})
        for day in range(1, PUBLICATIONS + 1):
            night = date(2020, 1 + told, day)
            live, _ = publish(connection, night, "bench", str(night), lambda: content, keep=PUBLICATIONS)
    return live


def _content(told: bool) -> Content:
    rng = np.random.default_rng(0)
    first = rng.integers(0, ITEMS - LISTED, (USERS, 1))
    items = (first + rng.permuted(np.tile(np.arange(LISTED), (USERS, 1)), axis=1)).astype(np.int32)
    scores = -np.sort(-rng.random((USERS, LISTED)).astype(np.float32), axis=1)
    lists = UserLists("personal", np.array([f"user-{n}" for n in range(USERS)], object), TopK(items, scores))
    if told:
        lists = replace(lists, reasons=rng.integers(0, TEXTS + 1, (USERS, LISTED), np.int32))
    similar = (np.arange(ITEMS)[:, None] + np.arange(1, 11)) % ITEMS
    return Content(
        item_ids=np.array([f"item-{n}" for n in range(ITEMS)], object),
        titles=np.array([f"Title number {n}" for n in range(ITEMS)], object),
        creators=np.full(ITEMS, "Somebody", object),
        lists=[lists],
        popular=TopK(np.arange(LISTED, dtype=np.int32)[None], scores[:1]),
        similar=TopK(similar.astype(np.int32), np.ones((ITEMS, 10), np.float32)),
        index=None,
        top_k=LISTED,
        reason_texts=[f"because you played title number {n}; popular in your country" for n in range(TEXTS)]
        if told
        else (),
    )
