"""Feature snapshots against a bare aggregation of the same events, many nights in one pass, and Feast over our stores.

`python -m benchmarks.features --large` measures a night over a hundred million events; it writes 1 GB and removes it.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from benchmarks import feast_stores, feature_world
from benchmarks.measure import Measurement, seconds
from recommender.features.definitions import feature_tables
from recommender.features.snapshots import build_snapshots
from recommender.storage.lake import Lake

USERS, ITEMS = 100_000, 50_000
SMALL, MIDDLE, LARGE = 1_000_000, 10_000_000, 100_000_000
ROUNDS = 2
PROMISED_SECONDS, PROMISED_GIB = 40, 6
NIGHTS, HISTORY_USERS, HISTORY_ITEMS = 26, 10_000, 10_000


def run() -> Iterator[Measurement]:
    yield from _one_night(SMALL, MIDDLE, ROUNDS)
    yield from _history()
    yield from feast_stores.run()


def _one_night(fewer: int, events: int, rounds: int) -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as name:
        small, large = Path(name) / "small", Path(name) / "large"
        for folder, count in ((small, fewer), (large, events)):
            feature_world.write_world(Lake(folder), count, USERS, ITEMS)
        bare, ours, less = [], [], []
        for _ in range(rounds):  # in turns, so that a slow minute hits all of them
            bare += seconds(lambda: feature_world.aggregate(Lake(large)), rounds=1)
            less.append(_in_a_process_of_its_own(small)["seconds"])
            ours.append(_in_a_process_of_its_own(large))
    taken, gib = (statistics.median(found[figure] for found in ours) for figure in ("seconds", "gib"))
    night = f"feature snapshots of a night, {events // 10**6} M events"
    yield Measurement(night, taken, "s", "bare DuckDB aggregation by user and by item", statistics.median(bare))
    if events == MIDDLE:
        yield Measurement(night, taken, "s", "what is promised", PROMISED_SECONDS)
    yield Measurement(night, taken, "s", f"{fewer // 10**6} M events", statistics.median(less))
    yield Measurement(f"{night}: peak memory", gib, "GiB", "what is promised", PROMISED_GIB)


def _history() -> Iterator[Measurement]:
    profile, nights = feature_world.profile(), [feature_world.LAST - timedelta(days=7 * n) for n in range(NIGHTS)]
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        feature_world.write_world(lake, SMALL, HISTORY_USERS, HISTORY_ITEMS)

        def build(nights: list[date]) -> None:
            build_snapshots(lake, profile, dict.fromkeys(feature_tables(profile), nights), known=feature_world.LAST)

        whole, single = seconds(lambda: build(nights), lambda: build(nights[:1]), rounds=1)
    name = f"feature snapshots of {NIGHTS} nights, {SMALL // 10**6} M events"
    yield Measurement(name, whole, "s", f"one night, {NIGHTS} times", single * NIGHTS)


def _in_a_process_of_its_own(folder: Path) -> dict[str, float]:
    """So that its memory is its own."""
    command = [sys.executable, "-m", "benchmarks.features", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _build(folder: Path) -> dict[str, float]:
    profile = feature_world.profile()
    todo = {name: [feature_world.LAST] for name in feature_tables(profile)}
    started = time.perf_counter()
    build_snapshots(Lake(folder), profile, todo, known=feature_world.LAST)
    return {"seconds": time.perf_counter() - started, "gib": _peak_gib()}


def _peak_gib() -> float:
    """Most memory this process ever held; unlike getrusage it knows nothing of the process that started this one."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


def _main(argument: str) -> None:
    if argument == "--large":
        for row in _one_night(MIDDLE, LARGE, rounds=1):
            sys.stdout.write(f"{row.name}: {row.value:.3g} {row.unit}, {row.ratio:.2f} of {row.peer}\n")
    else:
        sys.stdout.write(json.dumps(_build(Path(argument))) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1])
