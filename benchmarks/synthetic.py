"""The generated world against DuckDB writing as many random rows without any structure."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks.measure import Measurement, seconds
from recommender.config.profile import SyntheticWorld
from recommender.data.synthetic import write_world

USERS, ITEMS, EVENTS = 40_000, 20_000, 4_000_000


def run() -> Iterator[Measurement]:
    size = SyntheticWorld(users=USERS, items=ITEMS, days=365, events_per_user=EVENTS / USERS, dirty_share=0.0)
    with tempfile.TemporaryDirectory() as folder:
        ours, bare = seconds(
            lambda: write_world(size, Path(folder) / "world"), lambda: _bare(Path(folder) / "bare.parquet"), rounds=1
        )
    yield Measurement(
        f"{EVENTS // 10**6} M events of the generated world",
        EVENTS / ours,
        "rows/s",
        "DuckDB writing uniformly random rows in order of time",
        EVENTS / bare,
    )


def _bare(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            f"""copy (select 'user-' || (random() * {USERS})::integer as user_id,
                             'item-' || (random() * {ITEMS})::integer as item_id,
                             timestamp '2025-04-01' + to_seconds(floor(random() * 365 * 86400)) as ts
                      from range({EVENTS}) order by ts) to '{path}' (format parquet, compression zstd)"""
        )
