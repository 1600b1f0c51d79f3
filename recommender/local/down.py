"""`make down`: stops the Airflow and the embedded PostgreSQL of every profile in this home."""

import sys
from pathlib import Path

from rich.console import Console

from recommender.config.settings import home_folder
from recommender.local.airflow import stop_airflow
from recommender.storage import embedded


def main() -> int:
    """Stop what runs; returns 0 also when nothing did."""
    console = Console(highlight=False)
    stopped = [line for world in _worlds(home_folder()) for line in _stop(world)]
    for line in stopped or ["nothing was running"]:
        console.print(line)
    return 0


def _worlds(home: Path) -> list[Path]:
    """Those of the profiles, and of backtests, which a killed one leaves running."""
    if not home.is_dir():
        return []
    return sorted(path for pattern in ("*", "*/backtests/*/*") for path in home.glob(pattern) if path.is_dir())


def _stop(world: Path) -> list[str]:
    lines = []
    if stop_airflow(world / "airflow"):
        lines.append(f"stopped Airflow of {world.name}")
    if embedded.stop(world / "postgres"):
        lines.append(f"stopped PostgreSQL of {world.name}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
