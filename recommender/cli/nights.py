"""Commands that run nights and undo them."""

from datetime import UTC, datetime
from typing import Annotated

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
from recommender.config.settings import nights, parse_ds, select
from recommender.errors import ConfigError


@app.command(rich_help_panel="Nights")
@expected_failures
def nightly(
    ds: Ds,
    to: Annotated[
        str | None, typer.Option("--to", help="Backfill: every night from --ds to this one.", metavar="YYYY-MM-DD")
    ] = None,
    profile: ProfileOption = None,
    data: DataOption = None,
) -> None:
    """Run every stage of one night, or of a range of nights, in this process, as the `nightly` Dag does."""
    settings, first = settings_of(profile, data), parse_night(ds)
    last = first if to is None else parse_night(to)
    if last < first:
        raise ConfigError(f"--to {last} lies before --ds {first}")
    from recommender import pipeline

    select(settings)
    for night in nights(first, last):
        started = datetime.now(UTC)
        for result in pipeline.nightly(settings, night, progress):
            out.print(f"[green]✓[/] {result.stage:<9}{result.summary}", highlight=False, soft_wrap=True)
        out.print(f"night {night} done in {(datetime.now(UTC) - started).total_seconds():.0f} s", highlight=False)


@app.command(rich_help_panel="Nights")
@expected_failures
def run(
    stage: Annotated[
        str, typer.Argument(help="ingest, features, train, judge, refit, publish; rank, a part of publish; outcomes.")
    ],
    ds: Ds,
    shard: Annotated[
        int | None, typer.Option("--shard", min=0, help="For rank: one part of the users, the first is 0.")
    ] = None,
    profile: ProfileOption = None,
    data: DataOption = None,
) -> None:
    """Run one stage of one night."""
    settings, night = settings_of(profile, data), parse_night(ds)
    from recommender import pipeline

    stages = (*pipeline.STAGES, "rank", "outcomes")
    if stage not in stages:
        raise ConfigError(f"no stage named {stage!r}; the stages are {', '.join(stages)}")
    if shard is not None and stage != "rank":
        raise ConfigError(f"--shard is for the stage rank, not for {stage}")
    select(settings)
    result = getattr(pipeline, stage)(settings, night, progress, **({} if shard is None else {"shard": shard}))
    out.print(f"[green]✓[/] {result.stage:<9}{result.summary}", highlight=False, soft_wrap=True)


@app.command(rich_help_panel="Nights")
@expected_failures
def rollback(
    to: Annotated[
        int | None, typer.Option("--to", help="The id of a retired publication; `recommender status` lists them.")
    ] = None,
    profile: ProfileOption = None,
) -> None:
    """Make the previous publication live, or another one that is kept."""
    from recommender import pipeline

    publication_id = pipeline.rollback(world_of(profile), to)
    out.print(f"publication {publication_id} is live again", highlight=False)


@app.command(rich_help_panel="Nights")
@expected_failures
def evaluate(
    ds: Ds,
    days: Annotated[int, typer.Option(min=1, help="How many days after the night to judge on.")] = 31,
    profile: ProfileOption = None,
    data: DataOption = None,
) -> None:
    """Judge a night's published lists on what users chose in the days after it."""
    settings, night = settings_of(profile, data), parse_ds(ds)
    from recommender import pipeline

    figures = pipeline.evaluate(settings, night, days)
    title = f"publication of {night}, judged on new choices of {figures['users']:.0f} users in the {days} days after"
    print_table(
        title, ("metric", "value"), [(name, f"{value:.4f}") for name, value in figures.items() if name != "users"]
    )
