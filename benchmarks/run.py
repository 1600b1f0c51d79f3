"""`make bench`: every benchmark, as a ratio table and as `benchmarks/results/latest.json`."""

import json
import os
import platform
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import (
    drift,
    features,
    ingest,
    judging,
    lookups,
    ncf,
    publishing,
    retrieval,
    rules,
    search,
    sources,
    synthetic,
    training,
    vectors,
)
from benchmarks.measure import Measurement

RESULTS = Path(__file__).parent / "results" / "latest.json"


def main() -> None:
    console = Console(highlight=False)
    found: list[Measurement] = []
    for suite in (
        sources,
        ingest,
        synthetic,
        features,
        retrieval,
        rules,
        publishing,
        lookups,
        vectors,
        search,
        training,
        ncf,
        judging,
        drift,
    ):
        for measurement in suite.run():
            found.append(measurement)
            console.print(f"  {measurement.name}: {measurement.ratio:.2f} of {measurement.peer}", style="dim")
    table = Table("what", "ours", "unit", "peer", "peer's", "ratio", box=None, title=_machine(), title_justify="left")
    for row in found:
        table.add_row(row.name, _figure(row.value), row.unit, row.peer, _figure(row.peer_value), f"{row.ratio:.2f}")
    console.print(table)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps([row.as_dict() for row in found], indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {RESULTS.relative_to(Path.cwd())}" if RESULTS.is_relative_to(Path.cwd()) else RESULTS)


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
