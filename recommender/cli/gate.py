"""Commands about the gate: why it decided as it did, what it asks, and the answers."""

import json
import math
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from recommender.cli.console import ProfileOption, app, expected_failures, out, print_table, progress, world_of
from recommender.config.settings import Settings
from recommender.errors import NotReadyError
from recommender.storage.verdicts import RuleRow, Ruling

gate = typer.Typer(no_args_is_help=True)
app.add_typer(gate, name="gate", rich_help_panel="Models", help="Explain the gate's verdicts, and answer what it asks.")

Model = Annotated[str, typer.Argument(help="A model version; `recommender gate questions` lists those it asks about.")]
Publish = Annotated[bool, typer.Option("--publish", help="Fit it once more on everything, and publish its lists.")]
_DECIDED = {"promote": "promoted", "reject": "rejected", "ask": "asked"}


@gate.command()
@expected_failures
def explain(
    model: Annotated[str | None, typer.Argument(help="A model version; the one judged last by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
    profile: ProfileOption = None,
) -> None:
    """Say what the gate decided on a model, by which policy, and each rule in words."""
    settings = world_of(profile)
    from recommender.storage import verdicts
    from recommender.storage.postgres import connect

    with connect(settings) as connection:
        ruling = verdicts.last(connection) if model is None else verdicts.known(connection, model)
        if ruling is None:
            raise NotReadyError("no model has been judged yet: run `recommender nightly --ds …` first")
        rules = verdicts.rules(connection, ruling.model_version)
    if as_json:
        found = {**asdict(ruling), "ds": ruling.ds.isoformat(), "rules": [_as_json(rule) for rule in rules]}
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return
    out.print(f"{ruling.model_version} of night {ruling.ds}: {outcome(ruling)}", style="bold", highlight=False)
    out.print(ruling.headline, highlight=False, markup=False)
    out.print(f"policy {ruling.policy_version}", style="dim", highlight=False)
    print_table("", ("rule", "verdict", "value", "threshold", "in words"), [
        (rule.rule, verdict_of(rule), _figure(rule.value), _figure(rule.threshold),
         f"{rule.detail} ({rule.why})" if rule.why else rule.detail) for rule in rules
    ])  # fmt: skip


@gate.command()
@expected_failures
def questions(profile: ProfileOption = None) -> None:
    """List the models that the gate asks a person about."""
    settings = world_of(profile)
    from recommender.storage import verdicts
    from recommender.storage.postgres import connect

    with connect(settings) as connection:
        asked = verdicts.questions(connection)
    if not asked:
        out.print("no question is open")
        return
    print_questions(asked)


@gate.command()
@expected_failures
def approve(model: Model, publish: Publish = False, profile: ProfileOption = None) -> None:
    """Answer yes: the model becomes the champion."""
    _answer(world_of(profile), model, True, publish)


@gate.command()
@expected_failures
def reject(model: Model, profile: ProfileOption = None) -> None:
    """Answer no: the champion goes on."""
    _answer(world_of(profile), model, False, False)


def print_questions(asked: list[Ruling]) -> None:
    """Each with the commands that look into it and answer it."""
    print_table("the gate asks", ("night", "model", "why"), [(q.ds, q.model_version, q.headline) for q in asked])
    out.print("`recommender gate explain MODEL`, then `recommender gate approve MODEL` or `reject`", style="dim")


def outcome(ruling: Ruling) -> str:
    """What became of a model, for people."""
    if ruling.answer is None:
        return "asked, nobody has answered yet"
    return f"{_DECIDED[ruling.answer]} by the {ruling.decided_by}"


def verdict_of(rule: RuleRow) -> str:
    """What a rule says, for people."""
    if rule.passed:
        return "passed"
    return "asks" if rule.otherwise == "ask" else "FAILED"


def _answer(settings: Settings, model: str, promote: bool, publish: bool) -> None:
    from recommender import pipeline
    from recommender.storage.postgres import connect

    done = pipeline.answer(settings, model, promote)
    out.print(f"[green]✓[/] {done.summary}", highlight=False, soft_wrap=True)
    if not promote:
        return
    with connect(settings) as connection:
        live = connection.execute("select ds from reco.publications where status = 'live'").fetchone()
    night = done.ds if live is None else max(done.ds, live[0])  # lists of an older night would not go live
    if not publish:
        out.print(
            f"next: `recommender run refit --ds {done.ds}`, `recommender run publish --ds {night}`; "
            "--publish does both",
            highlight=False,
            soft_wrap=True,
        )
        return
    for result in (pipeline.refit(settings, done.ds, progress), pipeline.publish(settings, night, progress)):
        out.print(f"[green]✓[/] {result.stage:<9}{result.summary}", highlight=False, soft_wrap=True)


def _as_json(rule: RuleRow) -> dict[str, Any]:
    bounded = rule.value is None or math.isfinite(rule.value)
    return {**asdict(rule), "value": rule.value if bounded else str(rule.value)}  # JSON knows no infinite numbers


def _figure(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
