"""Commands about models: what the registry holds, and the search for better settings."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from recommender.cli.console import (
    DataOption,
    Ds,
    ProfileOption,
    app,
    expected_failures,
    out,
    parse_night,
    print_table,
    progress,
    settings_of,
    world_of,
)
from recommender.storage.registry import ModelVersion

_MEGABYTE = 1_000_000


@app.command(rich_help_panel="Models")
@expected_failures
def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    profile: ProfileOption = None,
) -> None:
    """List every model version: its kind, night, status, judged recall, how its training began, and its size."""
    settings = world_of(profile)
    from recommender.storage import registry
    from recommender.storage.postgres import connect

    with connect(settings) as connection:
        rows = [_row(version) for version in registry.history(connection)]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    print_table("", ("version", "kind", "night", "status", "recall@20", "training", "rivals", "MB"), [
        (
            row["model_version"], row["kind"], row["ds"], row["status"], _figure(row["recall@20"], 4),
            f"{row['training']} from {row['start']}" if row["start"] else row["training"],
            ", ".join(row["rivals"]) or None, _figure(row["megabytes"], 1),
        )
        for row in rows
    ])  # fmt: skip


@app.command(rich_help_panel="Models")
@expected_failures
def tune(
    ds: Ds,
    trials: Annotated[int, typer.Option(min=1, help="Of the whole study, those of earlier runs among them.")] = 30,
    minutes: Annotated[float | None, typer.Option(min=0, help="Begin no trial after so many.")] = None,
    folds: Annotated[int, typer.Option(min=1, help="Score each trial over so many folds of users.")] = 1,
    study: Annotated[str | None, typer.Option(help="The study's name; the default says what it is of.")] = None,
    profile: ProfileOption = None,
    data: DataOption = None,
) -> None:
    """Search for better settings of the profile's model; the same command again goes on where it was."""
    settings, night = settings_of(profile, data), parse_night(ds)
    from recommender import pipeline

    found = pipeline.tune(settings, night, trials=trials, minutes=minutes, folds=folds, name=study, progress=progress)
    spread = "" if found.spread is None else f" ± {found.spread:.4f} over the folds"
    line = f"study {found.study}, {found.trials} trials: best recall@20 {found.recall:.4f}{spread}"
    out.print(f"{line} on the validation days; plots in {found.report}", highlight=False, soft_wrap=True)
    sys.stdout.write(found.section)


def _row(version: ModelVersion) -> dict[str, Any]:
    judged = version.metrics.get("judged", {}).get("challenger", {})
    start = version.metrics.get("start", {})
    folder = version.served[0]
    return {
        "model_version": version.model_version,
        "kind": version.kind,
        "ds": version.ds.isoformat(),
        "status": version.status,
        "recall@20": judged.get("recall@20"),
        "training": start.get("how"),
        "start": start.get("from"),
        "rivals": list(version.metrics.get("rivals", {})),
        "megabytes": round(_bytes(folder) / _MEGABYTE, 3) if folder.is_dir() else None,
    }


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _figure(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
