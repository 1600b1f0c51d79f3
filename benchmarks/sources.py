"""Reading a source through a profile's mapping, against DuckDB's own read and write of the same file.

python -m benchmarks.sources [rows]
"""

import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from recommender.config.profile import Engine, Profile
from recommender.data.session import working_database
from recommender.data.sources import open_source

MAPPING = {"user_id": "who", "item_id": "what", "ts": "when", "weight": {"column": "plays", "min": 1}}
WORLD = """select 'u' || (i * 7919 % 100000) as who, 'i' || (i * 104729 % 50000) as what,
                  timestamp '2020-01-01' + interval (i) second as "when", i % 7 as plays from range({rows}) t(i)"""
FORMATS = {
    "e.csv": ("(format csv)", "read_csv"),
    "e.csv.gz": ("(format csv, compression gzip)", "read_csv"),
    "e.parquet": ("(format parquet)", "read_parquet"),
    "e.jsonl": ("(format json)", "read_ndjson"),
}


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of all threads: machines that others use too give them more steadily than the clock."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    before = used()
    work()
    return used() - before


def measured(folder: Path, file: str, rows: int) -> tuple[float, float, float]:
    """CPU seconds of the bare copy, of opening the source, and of copying what the profile maps."""
    options, reader = FORMATS[file]
    events = {"path": file, "columns": MAPPING}
    items = {"path": file, "columns": {"item_id": "what"}}
    shop = Profile.model_validate({"name": "shop", "events": events, "items": items})
    out = f"to '{folder}/out.parquet'"
    with working_database(Engine(), folder) as connection:
        connection.execute(f"copy ({WORLD.format(rows=rows)}) to '{folder}/{file}' {options}")
        bare = f"copy (from {reader}('{folder}/{file}')) {out}"
        mapped = f"copy (select user_id, item_id, ts, weight from events) {out}"
        return (
            cpu_seconds(lambda: connection.execute(bare)),
            cpu_seconds(lambda: open_source(connection, shop, "events", folder)),
            cpu_seconds(lambda: connection.execute(mapped)),
        )


def main(rows: int) -> None:
    """Print a line a format."""
    print(f"{rows:,} events, CPU seconds\nfile        bare  mapped  ratio  open")
    with tempfile.TemporaryDirectory() as folder:
        for file in FORMATS:
            bare, opened, mapped = measured(Path(folder), file, rows)
            print(f"{file:10} {bare:5.2f}  {mapped:6.2f}  {mapped / bare:5.2f}  {opened:4.2f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000)
