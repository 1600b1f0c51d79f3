"""Commands that read what nights have left: look-ups, status, the database's URL."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from recommender.cli.console import K, ProfileOption, app, expected_failures, out, print_table, world_of
from recommender.cli.gate import print_questions
from recommender.errors import RecommenderError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_COLUMNS = ("rank", "item_id", "title", "creator", "score", "similarity", "source", "reason")
_HEADINGS = {"item_id": "item"}
_DECIMALS = {"score": 4, "similarity": 2}
_WIDE = 110
"""Columns of a terminal; with fewer, the creator stands below the title where reasons need the room."""

Json = Annotated[bool, typer.Option("--json", help="JSON for machines: a list with an object a row.")]


@app.command(rich_help_panel="Answers")
@expected_failures
def recommend(user: str, k: K = 10, as_json: Json = False, profile: ProfileOption = None) -> None:
    """Print a user's live recommendations; an unknown user gets what is popular."""
    from recommender.serving import lookup
    from recommender.storage.postgres import connect

    with connect(world_of(profile)) as connection:
        rows = lookup.recommend(connection, user, k)
    if not rows:
        raise RecommenderError("nothing is published yet: run `recommender nightly --ds …` first")
    _print_items(rows, as_json)


@app.command(rich_help_panel="Answers")
@expected_failures
def similar(item: str, k: K = 10, as_json: Json = False, profile: ProfileOption = None) -> None:
    """Print the items closest to an item."""
    from recommender.serving import lookup
    from recommender.storage.postgres import connect

    with connect(world_of(profile)) as connection:
        rows, unknown = lookup.similar(connection, item, k), lookup.unknown_items(connection, [item])
    if unknown:
        raise RecommenderError(f"the live publication has no item {item!r}: try `recommender search TEXT`")
    if not rows:
        raise RecommenderError(f"nothing is known to be like item {item!r}, or a filter hides it")
    _print_items(rows, as_json)


@app.command(rich_help_panel="Answers")
@expected_failures
def taste(
    items: Annotated[list[str], typer.Argument(metavar="ITEM…", help="Items that somebody likes.")],
    k: K = 10,
    as_json: Json = False,
    profile: ProfileOption = None,
) -> None:
    """Print what fits somebody who likes these items."""
    from recommender.serving import lookup
    from recommender.storage.postgres import connect

    with connect(world_of(profile)) as connection:
        unknown = lookup.unknown_items(connection, items)
        if unknown:
            raise RecommenderError(
                f"the live publication has no item {', '.join(map(repr, unknown))}: try `recommender search TEXT`"
            )
        rows = lookup.by_taste(connection, items, k)
    if not rows:
        raise RecommenderError("nothing else fits: the live publication has no more items")
    _print_items(rows, as_json)


@app.command(rich_help_panel="Answers")
@expected_failures
def search(text: str, k: K = 10, as_json: Json = False, profile: ProfileOption = None) -> None:
    """Find items by title and creator; typos are forgiven."""
    from recommender.serving import lookup
    from recommender.storage.postgres import connect

    with connect(world_of(profile)) as connection:
        rows = lookup.search(connection, text, k)
    if not rows:
        raise RecommenderError(f"nothing like {text!r} in the live publication")
    _print_items(rows, as_json)


@app.command(rich_help_panel="Answers")
@expected_failures
def status(profile: ProfileOption = None) -> None:
    """Show what is live, the champion, the gate's last verdict and what it asks, the data's checks, the last stages."""
    settings = world_of(profile)
    from recommender.storage import verdicts
    from recommender.storage.postgres import connect, rows_as_dicts
    from recommender.storage.quality_results import last_results

    with connect(settings) as connection:
        checks = last_results(connection)
        publications = rows_as_dicts(connection, "select * from reco.publications order by publication_id desc limit 5")
        models = rows_as_dicts(connection, "select * from reco.models order by ds desc, trained_at desc limit 5")
        rules = rows_as_dicts(
            connection,
            """select * from reco.gate_results
               where model_version = (select model_version from reco.models where judged_at is not null
                                      order by judged_at desc limit 1)""",
        )
        asked = verdicts.questions(connection)
        runs = rows_as_dicts(connection, "select * from reco.stage_runs order by run_id desc limit 12")
    out.print(f"profile [bold]{settings.profile.name}[/], world {settings.world}", highlight=False, soft_wrap=True)
    print_table("publications", ("id", "night", "model", "status", "users", "items", "live since"), [
        (*(p[name] for name in ("publication_id", "ds", "model_version", "status", "users", "items")),
         minute(p["activated_at"])) for p in publications
    ])  # fmt: skip
    print_table("models", ("version", "night", "status", "judged recall@20"), [
        (m["model_version"], m["ds"], m["status"], _recall(m["metrics"])) for m in models
    ])  # fmt: skip
    print_table("last verdict", ("rule", "passed", "detail"), [
        (r["rule"], "yes" if r["passed"] else "NO", r["detail"]) for r in rules
    ])  # fmt: skip
    if asked:
        print_questions(asked)
    print_table("data quality", ("night", "table", "checks passed", "what failed"), [
        (c.ds, c.table, f"{c.passed} of {c.checked}", "\n".join(c.broken) or None) for c in checks
    ])  # fmt: skip
    print_table("latest stages", ("night", "stage", "status", "seconds", "summary"), [
        (r["ds"], r["stage"], r["status"], f"{r['seconds']:.1f}", r["summary"]) for r in reversed(runs)
    ])  # fmt: skip


@app.command("db-url", rich_help_panel="Answers")
@expected_failures
def db_url(profile: ProfileOption = None) -> None:
    """Print the database's URL for psql; starts the embedded server when none is configured."""
    from recommender.storage.postgres import libpq_url

    sys.stdout.write(libpq_url(world_of(profile)) + "\n")


def _print_items(rows: Sequence["DataclassInstance"], as_json: bool) -> None:
    """A table of rows that are all of one kind, or JSON."""
    found = [asdict(row) for row in rows]
    if as_json:
        sys.stdout.write(json.dumps(found, ensure_ascii=False, indent=1) + "\n")
        return
    names = [name for name in _COLUMNS if name in found[0]]
    if "reason" in names and out.width < _WIDE:
        names.remove("creator")
        found = [{**row, "title": f"{row['title'] or '–'}\n{row['creator'] or ''}".strip()} for row in found]
    table = Table(box=None, pad_edge=False)
    for name in names:
        figure = name in _DECIMALS or name == "rank"
        table.add_column(
            _HEADINGS.get(name, name),
            justify="right" if figure else "left",
            no_wrap=figure or name == "source",
            overflow="fold",  # an id is there to be copied: never cut
        )
    for row in found:
        table.add_row(*(_cell(name, row[name]) for name in names))
    out.print(table)


def _cell(name: str, value: Any) -> Text:
    if value is None:
        return Text("–")
    return Text(f"{value:.{_DECIMALS[name]}f}" if name in _DECIMALS else str(value))


def minute(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _recall(metrics: dict[str, Any]) -> str | None:
    recall = metrics.get("judged", {}).get("challenger", {}).get("recall@20")
    return None if recall is None else f"{recall:.4f}"
