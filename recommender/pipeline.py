"""The stages of a night, in their order. Dags and the CLI call these and nothing deeper.

Each takes the settings and its night `ds`, reads what earlier stages left on disk or in PostgreSQL, and may be
run again: the same night gives the same result. Each leaves one row in `reco.stage_runs`. `rank` only spreads work:
`publish` ranks what nobody ranked before.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import psycopg
import pyarrow.parquet as pq

from recommender.config.settings import Settings
from recommender.data import ingest as data_ingest
from recommender.data.events import known_events
from recommender.data.quality import CheckResult, validate_partition
from recommender.data.split import snapshot_nights
from recommender.errors import ConfigError, DataQualityError, NotReadyError, RecommenderError, first_line
from recommender.progress import Progress, quiet
from recommender.storage import quality_results, registry, verdicts
from recommender.storage.lake import Lake
from recommender.storage.postgres import connect, libpq_url
from recommender.storage.world_lock import shared

if TYPE_CHECKING:
    from recommender.publishing.erasure import Erasure
    from recommender.tuning.search import Found

STAGES = ("ingest", "features", "train", "judge", "refit", "publish")


@dataclass(frozen=True)
class StageResult:
    """What a stage did: one line for people, figures for machines."""

    stage: str
    ds: date
    summary: str
    detail: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Small enough to pass between Airflow tasks."""
        return {"stage": self.stage, "ds": self.ds.isoformat(), "summary": self.summary, **self.detail}


def ingest(settings: Settings, ds: date, progress: Progress = quiet) -> StageResult:
    """Read, validate and land the night's batch."""

    def work() -> StageResult:
        from recommender.features.definitions import feature_tables
        from recommender.publishing.filters import check_filters

        feature_tables(settings.profile)  # a misspelt name is refused before anything lands
        for problem in check_filters(settings.profile):
            raise ConfigError(problem)
        result = data_ingest.ingest(settings, ds, progress)
        _keep_checks(settings, ds, result.checks)
        detail = {
            "events": result.events,
            "users": result.users,
            "items": result.items,
            "quarantined": result.quarantined,
        }
        return StageResult("ingest", ds, result.summary, detail)

    return _recorded(settings, "ingest", ds, work)


def features(settings: Settings, ds: date, progress: Progress = quiet) -> StageResult:
    """Build the night's feature snapshots and the past ones training needs; hand them to Feast."""

    def work() -> StageResult:
        from recommender.features.definitions import feature_tables, table_of
        from recommender.features.expectations import declared_expectations
        from recommender.features.provenance import outdated
        from recommender.features.snapshots import build_snapshots

        lake, profile = Lake(settings.lake), settings.profile
        tables = feature_tables(profile)
        wanted = snapshot_nights(profile, ds, _first_event(lake, ds))
        todo = {name: sorted({ds, *outdated(lake, table, wanted, known=ds)}) for name, table in tables.items()}
        build_snapshots(lake, profile, todo, known=ds, progress=progress)
        for name, table in tables.items():
            declared = declared_expectations(table, ds)
            _keep_checks(settings, ds, validate_partition(name, lake, ds, settings, declared))
        rows = {name: pq.read_metadata(lake.path(name, ds)).num_rows for name in tables}
        progress("Feast: apply and materialize")
        from recommender.features.store import apply, feature_store, materialize

        store = feature_store(settings, libpq_url(settings))
        apply(store, profile, settings.lake, progress)
        online = "materialized" if materialize(store, ds) else "stays at a newer night"
        built = {name: len(nights) for name, nights in todo.items()}
        nights = max(built.values())
        counts = f"{rows[table_of('user')]:,} users and {rows[table_of('item')]:,} items"
        history = f"{nights} nights of snapshots" if nights > 1 else "one night's snapshots"
        summary = f"{counts}, {history} built, online store {online}"
        return StageResult("features", ds, summary, {"rows": rows, "snapshots": built})

    return _recorded(settings, "features", ds, work)


def train(settings: Settings, ds: date, progress: Progress = quiet) -> StageResult:
    """Fit the night's candidate on what was known before the holdout."""

    def work() -> StageResult:
        from recommender.features.store import feature_store
        from recommender.nightly.candidate import train_candidate

        store = feature_store(settings, libpq_url(settings))
        with connect(settings, autocommit=True) as connection:
            trained = train_candidate(settings, ds, store, connection, progress)
        return StageResult(
            "train", ds, trained.summary, {"model_version": trained.model_version, "epochs": trained.epochs}
        )

    return _recorded(settings, "train", ds, work)


def judge(settings: Settings, ds: date, progress: Progress = quiet) -> StageResult:
    """Judge the night's candidate by the policy; promote it, reject it, or ask a person."""

    def work() -> StageResult:
        from recommender.evaluation.judge import judge_candidate

        with connect(settings, autocommit=True) as connection:
            verdict = judge_candidate(settings, ds, connection, progress)
            ruling = verdicts.known(connection, verdict.model_version)
        waits = "" if ruling.answer else f"; `recommender gate approve {ruling.model_version}`, or `reject`, answers"
        detail = {
            "model_version": ruling.model_version,
            "decision": ruling.decision,
            "headline": ruling.headline,
            "report": str(_report(settings, ds)),
        }
        return StageResult("judge", ds, verdict.summary + waits, detail)

    return _recorded(settings, "judge", ds, work)


def question(settings: Settings, model_version: str) -> str | None:
    """What the gate asks a person about a candidate, in Markdown; None where it waits for no answer."""
    from recommender.nightly import question

    with connect(settings) as connection:
        ds = registry.known(connection, model_version).ds
        return question.question(connection, model_version, _report(settings, ds))


def answer(
    settings: Settings, model_version: str, promote: bool, by: Literal["person", "deadline"] = "person"
) -> StageResult:
    """Answer the gate's question, for good; what is promoted serves after `refit` and `publish`.

    The same answer again changes nothing, and a deadline leaves a person's as it is; `verdicts.answer` says what else
    is refused.
    """
    with connect(settings, autocommit=True) as connection:
        settled = verdicts.answer(connection, model_version, promote, by)
        ruling = verdicts.known(connection, model_version)
    done = "promoted" if ruling.answer == "promote" else "rejected"
    summary = f"{model_version} {'' if settled else 'was already '}{done} by the {ruling.decided_by}"
    return StageResult("answer", ruling.ds, summary, {"model_version": model_version, "decision": ruling.answer})


def refit(settings: Settings, ds: date, progress: Progress = quiet) -> StageResult:
    """Fit a champion promoted tonight once more on everything up to `ds`."""

    def work() -> StageResult:
        from recommender.features.store import feature_store
        from recommender.nightly.candidate import refit_champion

        store = feature_store(settings, libpq_url(settings))
        with connect(settings, autocommit=True) as connection:
            trained = refit_champion(settings, ds, store, connection, progress)
        if isinstance(trained, str):
            return StageResult("refit", ds, trained)
        return StageResult(
            "refit", ds, trained.summary, {"model_version": trained.model_version, "epochs": trained.epochs}
        )

    return _recorded(settings, "refit", ds, work)


def rank(settings: Settings, ds: date, progress: Progress = quiet, *, shard: int | None = None) -> StageResult:
    """Rank one shard of the users, the first is 0, or all of them, for `publish` to take; what is ranked stays.

    Raises
    ------
    ConfigError
        The profile has fewer shards.
    """

    def work() -> StageResult:
        from recommender.publishing.night import rank_shards

        with connect(settings, autocommit=True) as connection:
            ranked = rank_shards(settings, ds, connection, progress, shard)
        return StageResult("rank", ds, ranked.summary, {"users": ranked.users})

    return _recorded(settings, "rank", ds, work)


def publish(settings: Settings, ds: date, progress: Progress = quiet) -> StageResult:
    """Rank whoever isn't ranked with the champion on tonight's features, load the lists, and make them live."""

    def work() -> StageResult:
        from recommender.publishing.night import publish_night

        with connect(settings, autocommit=True) as connection:
            published = publish_night(settings, ds, connection, progress)
        detail = {"publication_id": published.publication_id, "users": published.users, "items": published.items}
        return StageResult("publish", ds, published.summary, detail)

    return _recorded(settings, "publish", ds, work)


def outcomes(settings: Settings, ds: date, progress: Progress = quiet) -> StageResult:
    """Measure the experiments in which the night's day counts; nothing to do where there is none."""

    def work() -> StageResult:
        from recommender.experiments.outcomes import measure

        with connect(settings, autocommit=True) as connection:
            measured = measure(settings, ds, connection, progress)
        return StageResult("outcomes", ds, measured.summary, {"rows": measured.rows})

    return _recorded(settings, "outcomes", ds, work)


def nightly(settings: Settings, ds: date, progress: Progress = quiet) -> Iterator[StageResult]:
    """All stages in this process, as the `nightly` Dag runs them; yields each result when it is there.

    When training, judging or refitting fails, the champion is still published on fresh features; the failure
    is raised afterwards. Where the gate asks, the champion is published, and the line of `judge` says how to answer.
    """
    yield ingest(settings, ds, progress)
    yield features(settings, ds, progress)
    failure: RecommenderError | None = None
    try:
        for stage in (train, judge, refit):
            yield stage(settings, ds, progress)
    except RecommenderError as error:
        progress(f"{error}; publishing the champion on fresh features")
        failure = error
    yield publish(settings, ds, progress)
    if failure is not None:
        raise failure


def rollback(settings: Settings, to: int | None = None) -> int:
    """Make the previous publication live, or the one that is named; returns its id.

    Raises
    ------
    NotReadyError
        No earlier publication is kept, or not this one.
    """
    with connect(settings) as connection:
        try:
            if to is None:
                row = connection.execute("select reco.rollback()").fetchone()
            else:
                row = connection.execute("select reco.rollback(%s::bigint)", [to]).fetchone()
        except psycopg.errors.RaiseException as error:
            raise NotReadyError(error.diag.message_primary or str(error)) from None
    if row is None:
        raise NotReadyError("rollback returned nothing")
    return int(row[0])


def erase(settings: Settings, user_ids: Sequence[str] = (), progress: Progress = quiet) -> "Erasure":
    """Remove these users, and everybody in `reco.erasure_requests`, from everything the world keeps, for good."""
    from recommender.publishing.erasure import erase_users

    with connect(settings, autocommit=True) as connection:
        return erase_users(settings, connection, user_ids, progress)


def evaluate(settings: Settings, ds: date, days: int) -> Mapping[str, float]:
    """Figures of the published lists of `ds` on what users chose in the `days` after, read from the source."""
    from recommender.evaluation.published import evaluate_published

    with connect(settings) as connection:
        return evaluate_published(settings, connection, ds, ds + timedelta(days=days))


def tune(
    settings: Settings,
    ds: date,
    *,
    trials: int,
    minutes: float | None = None,
    folds: int = 1,
    name: str | None = None,
    progress: Progress = quiet,
) -> "Found":
    """Search for better settings of the profile's model on what the night `ds` knows before its holdout."""
    from recommender.features.store import feature_store
    from recommender.tuning import search

    with connect(settings):
        pass  # migrated, and told in words where there is no database
    store = feature_store(settings, libpq_url(settings))
    return search.tune(settings, ds, store, trials=trials, minutes=minutes, folds=folds, name=name, progress=progress)


def _recorded(settings: Settings, stage: str, ds: date, work: Callable[[], StageResult]) -> StageResult:
    """Run a stage's work and keep what came of it in `reco.stage_runs`, failures too."""
    started, clock = datetime.now(UTC), monotonic()

    def record(status: str, summary: str, detail: dict[str, Any]) -> None:
        if os.environ.get("RANK", "0") != "0":
            return  # of the processes that `torchrun` starts the first one speaks for all
        with connect(settings) as connection:
            connection.execute(
                """insert into reco.stage_runs (ds, stage, status, started_at, seconds, summary, detail)
                   values (%s, %s, %s, %s, %s, %s, %s)""",
                [ds, stage, status, started, monotonic() - clock, summary, json.dumps(detail)],
            )

    with connect(settings):
        pass  # a night that can't record its result should not begin
    try:
        with shared(settings.world):
            result = work()
    except RecommenderError as error:
        record("failed", str(error), {"error": type(error).__name__})
        if isinstance(error, DataQualityError):
            _keep_checks(settings, ds, error.results)
        raise
    except Exception as error:
        record("failed", f"{type(error).__name__}: {first_line(error)}", {"error": type(error).__name__})
        raise
    record("done", result.summary, result.detail)
    return result


def _report(settings: Settings, ds: date) -> Path:
    """Where the night's report for people is."""
    return settings.reports / f"ds={ds}" / "report.html"


def _keep_checks(settings: Settings, ds: date, checks: Sequence[CheckResult]) -> None:
    with connect(settings) as connection:
        quality_results.record(connection, ds, checks)


def _first_event(lake: Lake, ds: date) -> date:
    with duckdb.connect() as connection:
        row = connection.execute(f"select min(ts)::date from {known_events(lake, ds)}").fetchone()
    if row is None or row[0] is None or row[0] > ds:
        raise NotReadyError(f"the lake holds no events up to {ds}: is ds before the data begins?")
    first: date = row[0]
    return first
