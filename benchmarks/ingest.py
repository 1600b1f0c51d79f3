"""Ten million events read, judged, validated and landed, against a bare DuckDB read-and-write of the same files."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import duckdb

from benchmarks.measure import Measurement

EVENTS, USERS, ITEMS, ROUNDS = 10_000_000, 200_000, 100_000, 3
BOOTSTRAP, NIGHT = date(2024, 12, 29), date(2024, 12, 30)
PROMISED_GIB = 4
_PROFILE = """
name: bench
events: {path: events.%s, columns: {user_id: user_id, item_id: item_id, ts: ts}}
users: {path: users.csv, columns: {user_id: user_id, country: country, age: {column: age, min: 10, max: 95}}}
items: {path: items.csv, columns: {item_id: item_id, title: title, creator: creator, category: category}}
schedule: {start_date: 2024-12-29}
"""


def run() -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_world(folder)
        for ending in ("parquet", "csv"):
            yield from _measured(folder, ending)


def _measured(folder: Path, ending: str) -> Iterator[Measurement]:
    (folder / "bench.yaml").write_text(_PROFILE % ending)
    bare, ours = [], []
    for _ in range(ROUNDS):  # in turns, so that a slow minute hits both
        bare.append(_read_and_write(folder, f"events.{ending}"))
        ours.append(_in_a_process_of_its_own(folder))
    figures = {name: statistics.median(found[name] for found in ours) for name in ours[0]}
    peer, size = "bare DuckDB read and write of the same events", f"{EVENTS // 10**6} M events, {ending}"
    yield Measurement(f"ingest {size}", figures["bootstrap"], "s", peer, statistics.median(bare))
    yield Measurement(
        f"ingest {size}: expectations", figures["validated"], "s", "the whole ingest", figures["bootstrap"]
    )
    yield Measurement(f"ingest {size}: peak memory", figures["gib"], "GiB", "what is promised", PROMISED_GIB)
    yield Measurement(f"the night after {size}", figures["night"], "s", peer, statistics.median(bare))


def _write_world(folder: Path) -> None:
    connection = duckdb.connect()
    connection.execute("select setseed(0.5)")
    # skewed, as real activity and popularity are
    connection.execute(
        f"""copy (select 'user-' || floor(pow(random(), 2) * {USERS})::int as user_id,
                         'item-' || floor(pow(random(), 3) * {ITEMS})::int as item_id,
                         timestamp '2024-01-01' + to_seconds(floor(random() * 86400 * 365)::bigint) as ts
                  from range({EVENTS})) to '{folder}/events.parquet'"""
    )
    connection.execute(f"copy (from '{folder}/events.parquet') to '{folder}/events.csv'")
    connection.execute(
        f"""copy (select 'user-' || i as user_id, 20 + i % 50 as age, ['DE', 'FR', 'UK'][1 + i % 3] as country
                  from range({USERS}) as t(i)) to '{folder}/users.csv'"""
    )
    connection.execute(
        f"""copy (select 'item-' || i as item_id, 'Title ' || i as title, 'Creator ' || (i // 10) as creator,
                         'category ' || (i % 20) as category from range({ITEMS}) as t(i)) to '{folder}/items.csv'"""
    )


def _read_and_write(folder: Path, file: str) -> float:
    started = time.perf_counter()
    target = f"{folder}/copied.parquet"
    duckdb.connect().execute(f"copy (from '{folder}/{file}') to '{target}' (format parquet, compression zstd)")
    return time.perf_counter() - started


def _in_a_process_of_its_own(folder: Path) -> dict[str, float]:
    """So that its memory is its own."""
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "RECOMMENDER_HOME": home}
        command = [sys.executable, "-m", "benchmarks.ingest", str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _ingest_twice(folder: Path) -> dict[str, float]:
    import great_expectations  # noqa: F401  (seconds of import that every process pays once)

    from recommender.config.settings import load_settings
    from recommender.data import ingest

    validated = 0.0
    check = ingest.validate

    def timed(*arguments: object) -> object:
        nonlocal validated
        started = time.perf_counter()
        try:
            return check(*arguments)  # type: ignore[arg-type]
        finally:
            validated += time.perf_counter() - started

    ingest.validate = timed  # type: ignore[assignment]
    settings = load_settings(str(folder / "bench.yaml"), folder)
    started = time.perf_counter()
    ingest.ingest(settings, BOOTSTRAP)
    bootstrap, of_bootstrap = time.perf_counter() - started, validated
    started = time.perf_counter()
    ingest.ingest(settings, NIGHT)
    night = time.perf_counter() - started
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"bootstrap": bootstrap, "validated": of_bootstrap, "night": night, "gib": gib}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_ingest_twice(Path(sys.argv[1]))) + "\n")
