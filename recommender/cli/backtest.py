"""The command that runs past nights again under a policy."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recommender.cli.console import (
    DataOption,
    ProfileOption,
    app,
    expected_failures,
    out,
    parse_night,
    print_table,
    progress,
    settings_of,
)

if TYPE_CHECKING:
    from recommender.backtest.records import Summary


@app.command(rich_help_panel="Models")
@expected_failures
def backtest(
    from_: Annotated[str, typer.Option("--from", help="The first night.", metavar="YYYY-MM-DD")],
    to: Annotated[str, typer.Option("--to", help="No night after this one.", metavar="YYYY-MM-DD")],
    every: Annotated[int, typer.Option(min=1, help="Days from one night to the next.")] = 7,
    policy: Annotated[Path | None, typer.Option(help="A policy file instead of the profile's.")] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, help="Judge decisions on so many days after. Default: evaluation.holdout_days."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Its folder's name; the default says what it is of.")] = None,
    profile: ProfileOption = None,
    data: DataOption = None,
) -> None:
    """Had this policy run on past nights: what would have gone live, and was it right? Beside the world that serves."""
    settings, first, last = settings_of(profile, data), parse_night(from_), parse_night(to)
    from recommender.backtest.plan import Plan
    from recommender.backtest.replay import keep, replay
    from recommender.backtest.sandbox import sandbox_for
    from recommender.backtest.words import decision, ratio, regret

    plan = Plan(first, last, every, days or settings.profile.evaluation.holdout_days)
    sandbox = sandbox_for(settings, plan, policy, name)
    nights = []
    started = datetime.now(UTC)
    for night in replay(sandbox, plan, progress):
        nights.append(night)
        took, started = (datetime.now(UTC) - started).total_seconds(), datetime.now(UTC)
        told = f"{decision(night)}, {night.outcome or 'not judged'}"
        out.print(f"[green]✓[/] {night.ds}  {told} ({took:.0f} s)", highlight=False, soft_wrap=True)
    found, page = keep(sandbox, plan, nights)
    columns = (
        "night",
        "challenger",
        "decision",
        "ratio when judged",
        "ratio later",
        "right?",
        "regret",
        "live recall@20",
    )
    print_table(f"backtest {found.name}: policy {found.policy}, judged on the {plan.days} days after", columns, [
        (night.ds, night.challenger, decision(night), ratio(night.judged), ratio(night.later), night.outcome,
         regret(night.regret), f"{night.later.recall[night.chosen].value:.4f}" if night.later and night.later.recall
         else None)
        for night in nights
    ])  # fmt: skip
    for line in _totals(found.summary):
        out.print(line, highlight=False, soft_wrap=True)
    out.print(f"{page}", highlight=False, soft_wrap=True)


def _totals(summary: "Summary") -> list[str]:
    from recommender.backtest.words import regret, share

    asked = f" ({summary.asked} of them asked about)" if summary.asked else ""
    failed = f", {summary.failed} failed" if summary.failed else ""
    decided = f"{summary.promoted} promoted, {summary.rejected} rejected{asked}{failed}"
    outcomes = f"{summary.right} right, {summary.wrong} wrong, {summary.undecided} undecided"
    lines = [
        f"{decided}; {outcomes}: {share(summary.share_right)} of the decided were right",
        f"mean regret {regret(summary.regret)}",
    ]
    if recall := summary.recall:
        others = f"always promote {recall['always']:.4f}, never after the first {recall['never']:.4f}"
        serving = f"as it serves, refitted, {recall['serving']:.4f}"
        lines.append(f"mean recall@20 later: this policy {recall['policy']:.4f}, {others}; {serving}")
    return lines
