"""The drift of a night of ten million users: two snapshots of twenty features, read and judged.

Writes 1 GB into the temporary folder and removes it.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks.measure import Measurement, seconds
from recommender.evaluation.drift.columns import feature_columns
from recommender.evaluation.drift.snapshots import sample_rows
from recommender.evaluation.drift.verdicts import judge_columns
from recommender.features.definitions import Feature

ROWS, NUMBERS = 10_000_000, 17
CATEGORIES = {"country": 40, "top_category_90d": 500, "top_creator_90d": 20_000}
PROMISED_SECONDS = 60
BEFORE, AFTER = "before.parquet", "after.parquet"


def run() -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder / BEFORE, 0.0)
        _write(folder / AFTER, 0.2)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.drift", str(folder)], capture_output=True, text=True, check=True
        )
        found = json.loads(done.stdout.splitlines()[-1])
        (bare,) = seconds(lambda: _read_whole(folder), rounds=1)
    what = f"drift of {ROWS // 10**6} M rows × {NUMBERS + len(CATEGORIES)} columns"
    assert found["drifted"] == NUMBERS, found
    yield Measurement(what, found["seconds"], "s", "what is promised", PROMISED_SECONDS)
    yield Measurement(f"{what}: reading both samples", found["reading"], "s", "bare DuckDB sums of all columns", bare)
    yield Measurement(f"{what}: peak memory", found["gib"], "GiB", "the files", found["files"])


def _features() -> list[Feature]:
    numbers = [Feature(f"f{n}", "user", "numeric", True, "f", None, "f") for n in range(NUMBERS)]
    return numbers + [Feature(name, "user", "categorical", False, "c", None, "c") for name in CATEGORIES]


def _write(path: Path, shift: float) -> None:
    numbers = ", ".join(f"exp({n % 4} * random() + {shift} * {n + 1})::float as f{n}" for n in range(1, NUMBERS))
    texts = ", ".join(f"'{name} ' || floor({size} * random() ** 2)::int as {name}" for name, size in CATEGORIES.items())
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select 'user-' || i as user_id, (random() + {shift})::float as f0, {numbers}, {texts} "
            f"from range({ROWS}) t(i)) to '{path}' (format parquet, compression zstd)"
        )


def _read_whole(folder: Path) -> None:
    sums = ", ".join([*(f"sum(f{n})" for n in range(NUMBERS)), *(f"sum(length({name}))" for name in CATEGORIES)])
    with duckdb.connect() as connection:
        for file in (BEFORE, AFTER):
            connection.execute(f"select {sums} from '{folder / file}'").fetchall()


def _judge(folder: Path) -> dict[str, float]:
    """In a process of its own, so that its memory is its own."""
    features = _features()
    started = time.perf_counter()
    with duckdb.connect() as connection:
        names = [feature.name for feature in features]
        before, after = (sample_rows(connection, folder / file, "user_id", names) for file in (BEFORE, AFTER))
    reading = time.perf_counter() - started
    drifts = judge_columns("user features", feature_columns(before, after, features, ()), folder)
    return {
        "seconds": time.perf_counter() - started,
        "reading": reading,
        "gib": _peak_gib(),
        "files": sum((folder / file).stat().st_size for file in (BEFORE, AFTER)) / 2**30,
        "drifted": sum(drift.drifted for drift in drifts),
    }


def _peak_gib() -> float:
    """Most memory this process ever held."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**20


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_judge(Path(sys.argv[1]))))
    else:
        for row in run():
            print(f"{row.name}: {row.value:.3g} {row.unit}, {row.ratio:.2f} of {row.peer}, {row.peer_value:.3g}")
