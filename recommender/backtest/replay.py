"""The nights of a backtest, one after the other, through the pipeline's own stages."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from recommender import pipeline
from recommender.backtest import hindsight
from recommender.backtest.page import write_page
from recommender.backtest.plan import Plan, data_span, require_answerable
from recommender.backtest.records import Backtest, Night, Summary
from recommender.backtest.sandbox import Sandbox
from recommender.errors import DataQualityError, NotReadyError, TrainingError
from recommender.progress import Progress, quiet
from recommender.storage.postgres import connect
from recommender.storage.registry import champion

FAILURES = (DataQualityError, NotReadyError, TrainingError)
"""What stops a night and not the nights after it: the champion goes on serving."""


def replay(sandbox: Sandbox, plan: Plan, progress: Progress = quiet) -> Iterator[Night]:
    """Run every night of the plan that has no record yet; yields each night when it is decided and judged.

    A night whose later days were cut short by the end of the data is judged again when the source has more.

    Raises
    ------
    ConfigError
        The plan makes no sense for these data, or the sandbox is of another backtest.
    NotReadyError
        There is nothing later to judge the last night on, or another process runs this backtest.
    """
    span = data_span(sandbox.settings, progress)
    require_answerable(plan, sandbox.settings.profile, span)
    with sandbox.opened():
        past: list[Night] = []
        for ds in plan.nights:
            known = Night.read(sandbox.folder, ds)
            night = known or _run(sandbox, ds, past[-1].live if past else None, progress)
            until = plan.judged_to(ds, span)
            if night.challenger is not None and (night.later is None or night.later.until < until):
                night = _judged_by_hindsight(sandbox, night, past, until, progress)
            if night != known:
                night.write(sandbox.folder)
            past.append(night)
            yield night


def keep(sandbox: Sandbox, plan: Plan, nights: Sequence[Night]) -> tuple[Backtest, Path]:
    """Write `backtest.json` and `backtest.html`; returns what they hold and the page's path."""
    summary, profile = Summary.of(nights), sandbox.settings.profile.name
    found = Backtest(sandbox.name, profile, sandbox.policy.version, plan.every, plan.days, list(nights), summary)
    found.write(sandbox.folder)
    return found, write_page(found, sandbox.folder)


def _run(sandbox: Sandbox, ds: date, served: str | None, progress: Progress) -> Night:
    """The stages of one night but the last: lists that nobody reads are not made."""
    night = Night(ds, champion=served, live=served)
    try:
        for stage in (pipeline.ingest, pipeline.features, pipeline.train, pipeline.judge, pipeline.refit):
            result = stage(sandbox.settings, ds, progress)
            progress(f"{ds}  {result.stage:<9}{result.summary}")
            if result.stage == "judge":
                challenger, decision = result.detail["model_version"], result.detail["decision"]
                night = replace(night, challenger=challenger, decision=decision, why=result.detail["headline"])
                if decision == "ask":  # nobody is there to answer: the policy says what silence means
                    promote = sandbox.policy.ask.otherwise == "promote"
                    pipeline.answer(sandbox.settings, challenger, promote, by="deadline")
    except FAILURES as error:
        progress(f"{ds}  failed: {error}")
        night = night if night.decision is not None else replace(night, why=str(error))
    with connect(sandbox.settings) as connection:
        now = champion(connection)
    return replace(night, live=None if now is None else now.model_version)


def _judged_by_hindsight(
    sandbox: Sandbox, night: Night, past: Sequence[Night], until: date, progress: Progress
) -> Night:
    first = next((one.live for one in [*past, night] if one.promoted), None)
    progress(f"{night.ds}  judging the decision on what was chosen up to {until}")
    with connect(sandbox.settings) as connection:
        judged = night.judged or hindsight.judged(sandbox.settings, connection, night)
        later = hindsight.later(sandbox.settings, connection, night, first, until)
    return replace(night, judged=judged, later=later)
