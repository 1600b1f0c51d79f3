"""Reading a source through a profile's mapping, against DuckDB's own read and write of the same file."""

import resource
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.measure import Measurement
from recommender.config.profile import Engine, Profile
from recommender.data.session import working_database
from recommender.data.sources import open_source

ROWS = 5_000_000
MAPPING = {"user_id": "who", "item_id": "what", "ts": "when", "weight": {"column": "plays", "min": 1}}
WORLD = """select 'u' || (i * 7919 % 100000) as who, 'i' || (i * 104729 % 50000) as what,
                  timestamp '2020-01-01' + interval (i) second as "when", i % 7 as plays from range({rows}) t(i)"""
FORMATS = {
    "e.csv": ("(format csv)", "read_csv"),
    "e.csv.gz": ("(format csv, compression gzip)", "read_csv"),
    "e.parquet": ("(format parquet)", "read_parquet"),
    "e.jsonl": ("(format json)", "read_ndjson"),
}


def run() -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        for file in FORMATS:
            bare, mapped = _measured(Path(folder), file)
            name = f"{ROWS // 10**6} M events through a profile's mapping, {file.partition('.')[2]}"
            yield Measurement(name, mapped, "CPU s", "bare DuckDB read and write", bare)


def _measured(folder: Path, file: str) -> tuple[float, float]:
    """CPU seconds of the bare copy, and of opening the source and copying what the profile maps."""
    options, reader = FORMATS[file]
    events = {"path": file, "columns": MAPPING}
    items = {"path": file, "columns": {"item_id": "what"}}
    shop = Profile.model_validate({"name": "shop", "events": events, "items": items})
    out = f"to '{folder}/out.parquet'"
    with working_database(Engine(), folder) as connection:
        connection.execute(f"copy ({WORLD.format(rows=ROWS)}) to '{folder}/{file}' {options}")

        def mapped() -> None:
            open_source(connection, shop, "events", folder)
            connection.execute(f"copy (select user_id, item_id, ts, weight from events) {out}")

        return (
            cpu_seconds(lambda: connection.execute(f"copy (from {reader}('{folder}/{file}')) {out}")),
            cpu_seconds(mapped),
        )


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of all threads: machines that others use too give them more steadily than the clock."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    before = used()
    work()
    return used() - before
