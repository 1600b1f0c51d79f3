"""`make bench-quality`: every model on every set with three seeds, into `benchmarks/results/quality.json` and a table.

python -m benchmarks.quality.run [--set NAME …] [--model NAME …] [--seeds 3] [--print]
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.quality.configurations import Comparison, configurations

RESULTS = Path(__file__).parents[1] / "results" / "quality.json"
TABLE = Path(__file__).parents[2] / "docs" / "figures.md"
DETERMINISTIC = ("popularity", "item_knn", "ease")
"""Kinds that no seed changes: they are run once."""
Figures = dict[str, Any]


def main() -> None:
    given = _arguments()
    console = Console(highlight=False)
    sets = {name: found for name, found in configurations().items() if not given.set or name in given.set}
    if not given.print:
        kept = _known()
        with tempfile.TemporaryDirectory() as home:
            for figures in _runs(sets, given, os.environ | {"RECOMMENDER_HOME": home}, console):
                kept = [old for old in kept if _key(old) != _key(figures)] + [figures]
                RESULTS.write_text(json.dumps(sorted(kept, key=_key), indent=1) + "\n", encoding="utf-8")
    for name, comparison in sets.items():
        console.print(_table(name, comparison, [found for found in _known() if found["set"] == name]))
    TABLE.write_text(document(configurations(), _known()), encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Quality of every model, next to the usual peers.")
    parser.add_argument("--set", action="append", help="only this set; may be repeated")
    parser.add_argument("--model", action="append", help="only this model; may be repeated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--print", action="store_true", help="run nothing: print what was measured before")
    return parser.parse_args()


def _runs(
    sets: dict[str, Comparison], given: argparse.Namespace, environment: dict[str, str], console: Console
) -> Iterator[Figures]:
    for name, comparison in sets.items():
        for model, section in comparison.models.items():
            if given.model and model not in given.model:
                continue
            seeds = 1 if section.get("kind") in DETERMINISTIC else given.seeds
            for seed in range(1, seeds + 1):
                command = [sys.executable, "-m", "benchmarks.quality.one", name, model, str(seed)]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if done.returncode:
                    console.print(f"{name} {model}: {done.stderr.strip().splitlines()[-1]}", style="red")
                    break
                figures: Figures = json.loads(done.stdout.splitlines()[-1])
                console.print(
                    f"{name} {model} seed {seed}: Recall@20 {figures['recall@20']:.4f}, "
                    f"NDCG@20 {figures['ndcg@20']:.4f}, {figures['seconds']:.0f} s, {figures['gib']:.1f} GiB",
                    style="dim",
                )
                yield figures


def document(sets: dict[str, Comparison], found: list[Figures]) -> str:
    """`docs/figures.md`."""
    lines = [
        "# Quality, next to the usual peers",
        "",
        "Made by `make bench-quality` from `benchmarks/quality/models.yaml`; raw figures in",
        "`benchmarks/results/quality.json`. Full ranking over everything a user has not met; mean ± standard deviation",
        "over seeds; seconds and peak memory of one fit, the data's own memory included.",
        f"Measured on {platform.machine()} with {os.cpu_count()} cores, no GPU.",
    ]
    for name, comparison in sets.items():
        measured = [figures for figures in found if figures["set"] == name]
        if measured:
            rows = _rows(measured, comparison)
            lines += ["", f"## {name}", "", f"Hyper-parameters: {comparison.chosen_on}", ""]
            lines += ["| " + " | ".join(_HEADER) + " |", "| " + " | ".join("---" for _ in _HEADER) + " |"]
            lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


_HEADER = ("model", "Recall@20", "NDCG@20", "seeds", "seconds", "peak GiB")


def _table(name: str, comparison: Comparison, found: list[Figures]) -> Table:
    table = Table(*_HEADER, box=None, title=name, title_justify="left")
    for row in _rows(found, comparison):
        table.add_row(*row)
    return table


def _rows(found: list[Figures], comparison: Comparison) -> list[tuple[str, ...]]:
    """Published figures first, then ours, each group from the weakest to the strongest."""
    rows = [
        (f"{name} (published)", f"{recall:.4f}", f"{ndcg:.4f}", "", "", "")
        for name, (recall, ndcg) in sorted(comparison.published.items(), key=lambda item: item[1])
    ]
    by_model = {
        name: sorted((figures for figures in found if figures["model"] == name), key=_key) for name in comparison.models
    }
    measured = {name: runs for name, runs in by_model.items() if runs}
    for name, runs in sorted(measured.items(), key=lambda item: mean(run["recall@20"] for run in item[1])):
        rows.append(
            (
                name,
                _spread([run["recall@20"] for run in runs]),
                _spread([run["ndcg@20"] for run in runs]),
                str(len(runs)),
                f"{mean(run['seconds'] for run in runs):,.0f}",
                f"{max(run['gib'] for run in runs):.1f}",
            )
        )
    return rows


def _spread(values: list[float]) -> str:
    return f"{mean(values):.4f}" + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def _known() -> list[Figures]:
    found: list[Figures] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else []
    return found


def _key(figures: Figures) -> tuple[str, str, int]:
    return figures["set"], figures["model"], figures["seed"]


if __name__ == "__main__":
    main()
