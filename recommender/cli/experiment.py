"""Commands about experiments: a challenger's lists against the champion's, on the users themselves."""

import json
import sys
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recommender.cli.console import ProfileOption, app, expected_failures, out, print_table, world_of

if TYPE_CHECKING:
    from recommender.experiments.life import Experiment
    from recommender.experiments.results import Result

experiment = typer.Typer(no_args_is_help=True)
app.add_typer(
    experiment, name="experiment", rich_help_panel="Models", help="Compare two models' lists on the users themselves."
)

Name = Annotated[str, typer.Argument(help="The experiment's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
_METRICS = {
    "conversion": "users with a hit",
    "hits": "hits a user",
    "events": "events a user",
}


class _Exposure(StrEnum):
    """Who counts."""

    assigned = "assigned"
    reported = "reported"


@experiment.command()
@expected_failures
def start(
    name: Name,
    challenger: Annotated[str, typer.Option(help="A model version; `recommender models` lists them.")],
    share: Annotated[float, typer.Option(help="Of the users, who get the challenger's lists.")] = 0.1,
    exposure: Annotated[
        _Exposure,
        typer.Option(
            help="Who counts: everybody with a list, or whom the application reports to reco.record_exposure."
        ),
    ] = _Exposure.assigned,
    profile: ProfileOption = None,
) -> None:
    """Start an experiment: from the next publication on, a share of the users gets the challenger's lists."""
    settings = world_of(profile)
    from recommender.experiments import life
    from recommender.storage.postgres import connect

    with connect(settings) as connection:
        started = life.start(connection, name, challenger, share, exposure.value)
    out.print(
        f"[green]✓[/] experiment {started.name} runs: from the next publication on, {started.share:.1%} of the users "
        f"get lists of {started.challenger}, the others of {started.champion}",
        highlight=False,
        soft_wrap=True,
    )
    out.print(f"`recommender run publish --ds {started.started_ds}` begins it now", style="dim", highlight=False)


@experiment.command()
@expected_failures
def stop(
    name: Name,
    reason: Annotated[str, typer.Option(help="Kept with the experiment.")] = "stopped by hand",
    profile: ProfileOption = None,
) -> None:
    """Stop an experiment: from this instant everybody gets the champion's lists."""
    settings = world_of(profile)
    from recommender.experiments import life
    from recommender.storage.postgres import connect

    with connect(settings) as connection:
        before = life.known(connection, name)
        life.stop(connection, before.experiment_id, reason)
        stopped = life.known(connection, name)
    done = "stopped" if before.status == "running" else "was stopped already"
    out.print(
        f"[green]✓[/] experiment {name} {done}: {stopped.reason}; the last day that counts is {stopped.stopped_ds}",
        highlight=False,
        soft_wrap=True,
    )


@experiment.command("list")
@expected_failures
def list_(as_json: AsJson = False, profile: ProfileOption = None) -> None:
    """List every experiment, the newest first."""
    settings = world_of(profile)
    from recommender.experiments import life
    from recommender.storage.postgres import connect

    with connect(settings) as connection:
        found = life.history(connection)
    if as_json:
        _print_json([asdict(one) for one in found])
        return
    if not found:
        out.print("no experiment has been started")
        return
    print_table("", ("name", "status", "after night", "last day", "challenger", "champion", "share", "why it ended"), [
        (one.name, one.status, one.started_ds, one.stopped_ds, one.challenger, one.champion, f"{one.share:.1%}",
         one.reason)
        for one in found
    ])  # fmt: skip


@experiment.command()
@expected_failures
def show(name: Name, as_json: AsJson = False, profile: ProfileOption = None) -> None:
    """Show what came of an experiment so far: each figure of both arms, and where the difference lies."""
    settings = world_of(profile)
    from recommender.experiments import life
    from recommender.experiments.results import results
    from recommender.storage.postgres import connect

    with connect(settings) as connection:
        found = life.known(connection, name)
        figures = results(connection, found)
    if as_json:
        _print_json({**asdict(found), "results": [asdict(figure) for figure in figures]})
        return
    _print_experiment(found)
    if not figures:
        out.print("nothing is measured yet: the first figures are of the day after its first publication")
        return
    _print_results(found, figures)


def _print_experiment(found: "Experiment") -> None:
    ended = "runs" if found.stopped_ds is None else f"stopped after {found.stopped_ds}: {found.reason}"
    out.print(f"experiment {found.name} {ended}", style="bold", highlight=False, soft_wrap=True)
    counted = "everybody with a list" if found.exposure == "assigned" else "whom the application reports"
    out.print(
        f"{found.share:.1%} of the users get lists of {found.challenger}, the others of {found.champion}; "
        f"counted is {counted}",
        highlight=False,
        soft_wrap=True,
    )


def _print_results(found: "Experiment", figures: "list[Result]") -> None:
    first = figures[0]
    out.print(
        f"up to {first.ds}: {first.challenger_users:,} users of the challenger, {first.champion_users:,} of the "
        f"champion; a hit is an event on one of the first {found.k} items of the list",
        highlight=False,
        soft_wrap=True,
    )
    print_table("", ("", "challenger", "champion", "difference", "95 % at any time", "95 % for one look", "says"), [
        (
            _METRICS[one.metric], f"{one.challenger_mean:.4f}", f"{one.champion_mean:.4f}", f"{one.difference:+.4f}",
            _interval(one.anytime_low, one.anytime_high), _interval(one.low, one.high), _verdict(one),
        )
        for one in figures
    ])  # fmt: skip
    if first.mismatch:
        out.print(
            f"[red]THESE FIGURES CAN'T BE TRUSTED[/]: {first.detail}, which chance does once in {_odds(first)}. Look "
            "for users that one arm loses: exposures reported for one arm only, missing lists, answers that fail.",
            highlight=False,
            soft_wrap=True,
        )
    elif first.detail:
        out.print(first.detail, highlight=False, soft_wrap=True)
    out.print(
        "`at any time` may be looked at every night, and decides; `for one look` holds on one day fixed beforehand",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )


def _verdict(figure: "Result") -> str:
    if figure.mismatch:
        return "not trusted"
    if figure.anytime_low is None or figure.anytime_high is None:
        return "too little to tell"
    if figure.anytime_low > 0:
        return "challenger higher"
    return "challenger lower" if figure.anytime_high < 0 else "not told apart"


def _interval(low: float | None, high: float | None) -> str | None:
    return None if low is None or high is None else f"{low:+.4f} … {high:+.4f}"


def _odds(figure: "Result") -> str:
    return f"{1 / figure.ratio_p_value:,.0f}" if figure.ratio_p_value > 1e-12 else "a million million"


def _print_json(found: Any) -> None:
    sys.stdout.write(json.dumps(found, indent=1, default=str) + "\n")
