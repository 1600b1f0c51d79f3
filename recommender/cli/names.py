"""The command that shows which spellings the last night took for one name."""

import csv
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from recommender.cli.console import ProfileOption, app, expected_failures, out, print_table, world_of
from recommender.config.settings import parse_ds
from recommender.errors import NotReadyError, RecommenderError

HEADER = ("column", "value", "canonical", "items", "confidence", "rule", "applied")
_SHOWN = 50


@app.command(rich_help_panel="Data")
@expected_failures
def names(
    column: Annotated[str | None, typer.Option(help="Only this column, such as creator.")] = None,
    ds: Annotated[str, typer.Option("--ds", help="The night; the newest by default.", metavar="YYYY-MM-DD")] = "",
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write all of them to this file, which `names.overrides` can read.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help=f"Print more than {_SHOWN} a column.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Print the spellings that were merged into another name, or may be one, least certain first."""
    settings = world_of(profile)
    import duckdb

    from recommender.data.names import last_merges
    from recommender.storage.lake import Lake

    path = last_merges(Lake(settings.lake), parse_ds(ds) if ds else date.max)
    if path is None:
        raise NotReadyError("no night has looked at names yet: run `recommender run ingest --ds …` first")
    with duckdb.connect() as connection:
        rows = connection.execute(
            """select column_name, value, canonical, items, confidence, rule, applied from read_parquet(?)
               where column_name = ? or ? is null order by column_name, applied, confidence, value""",
            [str(path), column, column],
        ).fetchall()
    if csv_file is not None:
        try:
            with csv_file.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([HEADER, *rows])
        except OSError as error:
            raise RecommenderError(f"cannot write {csv_file}: {error.strerror or error}") from None
        out.print(f"{len(rows):,} merges written to {csv_file}", highlight=False, soft_wrap=True)
        return
    for name in sorted({row[0] for row in rows}):
        of_column = [row for row in rows if row[0] == name]
        applied = sum(row[-1] for row in of_column)
        title = f"{name}: {applied:,} merged, {len(of_column) - applied:,} only listed ({path.parent.name})"
        shown = of_column if every else of_column[:_SHOWN]
        print_table(title, HEADER[1:], [
            (value, canonical, f"{items:,}", f"{confidence:.3f}", rule, "yes" if done else "no")
            for _, value, canonical, items, confidence, rule, done in shown
        ])  # fmt: skip
        if len(shown) < len(of_column):
            out.print(f"… and {len(of_column) - len(shown):,} more: --all prints them, --csv writes them", style="dim")
    if not rows:
        out.print(f"no two spellings of one name ({path.parent.name})", highlight=False)
