"""The `recommender` command: thin over the pipeline's stages and the SQL look-ups."""

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recommender.config.settings import Settings, load_settings, parse_ds, select
from recommender.data.dataset import night_end
from recommender.errors import ConfigError, RecommenderError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Nightly recommendations: run nights, ask for answers, look at what is live, roll back.",
)
out = Console()
err = Console(stderr=True, highlight=False, soft_wrap=True)

Ds = Annotated[str, typer.Option("--ds", help="The night: a UTC day such as 2014-04-30.", metavar="YYYY-MM-DD")]
ProfileOption = Annotated[
    str | None,
    typer.Option("--profile", help="A shipped profile's name, or a YAML file. Default: the one used last here."),
]
DataOption = Annotated[Path | None, typer.Option("--data", help="The folder of the profile's source files.")]
K = Annotated[int, typer.Option("-k", min=1, max=1000, help="How many rows.")]


def _expected_failures(command: Callable[..., None]) -> Callable[..., None]:
    """An expected failure is one line on stderr and exit code 2."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except RecommenderError as error:
            fail(str(error))
        except KeyboardInterrupt:
            fail("interrupted; running the same command again continues cleanly")

    return run


def fail(message: str) -> NoReturn:
    err.print(Text.assemble(("error: ", "red"), " ".join(message.split())))
    raise typer.Exit(2)


@app.command()
@_expected_failures
def nightly(ds: Ds, profile: ProfileOption = None, data: DataOption = None) -> None:
    """Run every stage of one night in this process, as the `nightly` Dag does."""
    settings, night = _settings(profile, data), _night(ds)
    from recommender import pipeline

    select(settings)
    started = datetime.now(UTC)
    for result in pipeline.nightly(settings, night, _progress):
        out.print(f"[green]✓[/] {result.stage:<9}{result.summary}", highlight=False, soft_wrap=True)
    out.print(f"night {night} done in {(datetime.now(UTC) - started).total_seconds():.0f} s", highlight=False)


@app.command()
@_expected_failures
def run(
    stage: Annotated[str, typer.Argument(help="ingest, features, train, judge, refit or publish.")],
    ds: Ds,
    profile: ProfileOption = None,
    data: DataOption = None,
) -> None:
    """Run one stage of one night."""
    settings, night = _settings(profile, data), _night(ds)
    from recommender import pipeline

    if stage not in pipeline.STAGES:
        raise ConfigError(f"no stage named {stage!r}; the stages are {', '.join(pipeline.STAGES)}")
    select(settings)
    result = getattr(pipeline, stage)(settings, night, _progress)
    out.print(f"[green]✓[/] {result.stage:<9}{result.summary}", highlight=False, soft_wrap=True)


@app.command()
@_expected_failures
def recommend(user: str, k: K = 10, profile: ProfileOption = None) -> None:
    """Print a user's live recommendations; an unknown user gets what is popular."""
    from recommender.serving import lookup
    from recommender.storage.postgres import connect

    with connect(_world(profile)) as connection:
        rows = lookup.recommend(connection, user, k)
    if not rows:
        raise RecommenderError("nothing is published yet: run `recommender nightly --ds …` first")
    _print("", ("rank", "item", "title", "creator", "score", "source", "reason"), [
        (row.rank, row.item_id, row.title, row.creator, f"{row.score:.4f}", row.source, row.reason) for row in rows
    ])  # fmt: skip


@app.command()
@_expected_failures
def similar(item: str, k: K = 10, profile: ProfileOption = None) -> None:
    """Print the items closest to an item."""
    from recommender.serving import lookup
    from recommender.storage.postgres import connect

    with connect(_world(profile)) as connection:
        rows = lookup.similar(connection, item, k)
    if not rows:
        raise RecommenderError(f"the live publication has no item {item!r}: try `recommender search TEXT`")
    _print("", ("rank", "item", "title", "creator", "score"), [
        (row.rank, row.item_id, row.title, row.creator, f"{row.score:.4f}") for row in rows
    ])  # fmt: skip


@app.command()
@_expected_failures
def search(text: str, k: K = 10, profile: ProfileOption = None) -> None:
    """Find items by title and creator; typos are forgiven."""
    from recommender.serving import lookup
    from recommender.storage.postgres import connect

    with connect(_world(profile)) as connection:
        rows = lookup.search(connection, text, k)
    if not rows:
        raise RecommenderError(f"nothing like {text!r} in the live publication")
    _print("", ("item", "title", "creator", "similarity"), [
        (row.item_id, row.title, row.creator, f"{row.similarity:.2f}") for row in rows
    ])  # fmt: skip


@app.command()
@_expected_failures
def status(profile: ProfileOption = None) -> None:
    """Show what is live, the champion, its last verdict, and the latest stages."""
    settings = _world(profile)
    from recommender.storage.postgres import connect, rows_as_dicts

    with connect(settings) as connection:
        publications = rows_as_dicts(connection, "select * from reco.publications order by publication_id desc limit 5")
        models = rows_as_dicts(connection, "select * from reco.models order by ds desc, trained_at desc limit 5")
        rules = rows_as_dicts(
            connection,
            """select * from reco.gate_results
               where model_version = (select model_version from reco.models where judged_at is not null
                                      order by judged_at desc limit 1)""",
        )
        runs = rows_as_dicts(connection, "select * from reco.stage_runs order by run_id desc limit 12")
    out.print(f"profile [bold]{settings.profile.name}[/], world {settings.world}", highlight=False, soft_wrap=True)
    _print("publications", ("id", "night", "model", "status", "users", "items", "live since"), [
        (*(p[name] for name in ("publication_id", "ds", "model_version", "status", "users", "items")),
         _minute(p["activated_at"])) for p in publications
    ])  # fmt: skip
    _print("models", ("version", "night", "status", "judged recall@20"), [
        (m["model_version"], m["ds"], m["status"], _recall(m["metrics"])) for m in models
    ])  # fmt: skip
    _print("last verdict", ("rule", "passed", "detail"), [
        (r["rule"], "yes" if r["passed"] else "NO", r["detail"]) for r in rules
    ])  # fmt: skip
    _print("latest stages", ("night", "stage", "status", "seconds", "summary"), [
        (r["ds"], r["stage"], r["status"], f"{r['seconds']:.1f}", r["summary"]) for r in reversed(runs)
    ])  # fmt: skip


@app.command()
@_expected_failures
def rollback(profile: ProfileOption = None) -> None:
    """Make the previous publication live."""
    from recommender import pipeline

    publication_id = pipeline.rollback(_world(profile))
    out.print(f"publication {publication_id} is live again", highlight=False)


@app.command()
@_expected_failures
def evaluate(
    ds: Ds,
    days: Annotated[int, typer.Option(min=1, help="How many days after the night to judge on.")] = 31,
    profile: ProfileOption = None,
    data: DataOption = None,
) -> None:
    """Judge a night's published lists on what users chose in the days after it."""
    settings, night = _settings(profile, data), parse_ds(ds)
    from recommender import pipeline

    figures = pipeline.evaluate(settings, night, days)
    title = f"publication of {night}, judged on new choices of {figures['users']:.0f} users in the {days} days after"
    _print(title, ("metric", "value"), [(name, f"{value:.4f}") for name, value in figures.items() if name != "users"])


@app.command("db-url")
@_expected_failures
def db_url(profile: ProfileOption = None) -> None:
    """Print the database's URL for psql; starts the embedded server when none is configured."""
    from recommender.storage.postgres import libpq_url

    sys.stdout.write(libpq_url(_world(profile)) + "\n")


def _settings(profile: str | None, data: Path | None) -> Settings:
    return load_settings(profile, data)


def _world(profile: str | None) -> Settings:
    """Settings of a command that only asks for what nights have left."""
    return load_settings(profile, reads_sources=False)


def _night(ds: str) -> date:
    night = parse_ds(ds)
    if night_end(night) > datetime.now(UTC):
        raise ConfigError(f"night {night} is not over yet: the newest that can run is yesterday's")
    return night


def _progress(line: str) -> None:
    err.print(f"  {line}", style="dim", markup=False)


def _print(title: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    table = Table(*columns, title=title or None, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("–" if value is None else str(value).replace("[", "\\[") for value in row))
    out.print(table)


def _minute(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _recall(metrics: dict[str, Any]) -> str | None:
    recall = metrics.get("judged", {}).get("challenger", {}).get("recall@20")
    return None if recall is None else f"{recall:.4f}"
