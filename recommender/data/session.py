"""One DuckDB database for a piece of work: bounded in memory, spilling to disk, gone afterwards."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import psutil

from recommender.config.profile import Engine

_PREFIX = "working-"


@contextmanager
def working_database(engine: Engine, folder: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in UTC to an empty database in memory.

    What doesn't fit is spilled into a folder of its own, made in `folder` (the system's temporary folder when absent)
    and removed in the end; what killed processes left there goes as well.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=folder, ignore_cleanup_errors=True) as name:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{engine.memory_gb}GB",
            "temp_directory": name,
            "autoinstall_known_extensions": False,
        }
        if engine.threads is not None:
            settings["threads"] = engine.threads
        connection = duckdb.connect(":memory:", config=settings)
        try:
            connection.execute("set timezone = 'UTC'")
            yield connection
        finally:
            connection.close()


def _remove_abandoned(folder: Path) -> None:
    for abandoned in folder.glob(f"{_PREFIX}*-*"):
        if not psutil.pid_exists(int(abandoned.name.removeprefix(_PREFIX).partition("-")[0])):
            shutil.rmtree(abandoned, ignore_errors=True)
