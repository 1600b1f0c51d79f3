"""One DuckDB database for a piece of work: on disk, so that it can spill, bounded in memory, gone afterwards."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from recommender.config.profile import Engine

_PREFIX = "working-"


@contextmanager
def working_database(engine: Engine, folder: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in UTC to an empty database in a folder of its own, which is removed in the end.

    `folder` is where that folder is made; the system's temporary folder when absent. What a killed process left
    there is removed as well.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(f"{_PREFIX}*"):
            shutil.rmtree(stale, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=folder, ignore_cleanup_errors=True) as name:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{engine.memory_gb}GB",
            "temp_directory": f"{name}/spilled",
            "autoinstall_known_extensions": False,
        }
        if engine.threads is not None:
            settings["threads"] = engine.threads
        connection = duckdb.connect(f"{name}/working.duckdb", config=settings)
        try:
            connection.execute("set timezone = 'UTC'")
            yield connection
        finally:
            connection.close()
