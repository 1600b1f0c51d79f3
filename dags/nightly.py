"""The night: one run is one night, named by the UTC day of its logical date and by nothing else."""

import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, TaskGroup, TriggerRule, XComArg, task
from airflow.sdk.exceptions import AirflowFailException

from recommender.config.policy import load_policy
from recommender.config.settings import load_settings

log = logging.getLogger("recommender.nightly")

PUBLICATION = Asset("recommender_publication")
GPU: dict[str, Any] = {"queue": "gpu", "pool": "gpu"}
RETRY: dict[str, Any] = {"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True}
APPROVE, REJECT = "Approve", "Reject"  # for these very words Airflow shows a page of approval
WORKING = timedelta(hours=24)

profile = load_settings().profile
schedule, ask = profile.schedule, load_policy(profile.gate.policy).ask
patience = timedelta(hours=ask.within_hours)
by_default = APPROVE if ask.otherwise == "promote" else REJECT
first_night = datetime.combine(schedule.start_date, time.min, UTC)
last_night = datetime.combine(schedule.end_date, time.max, UTC) if schedule.end_date else None


def night_of(logical_date: datetime | None) -> date:
    """The run's night."""
    if logical_date is None:
        raise AirflowFailException("this run has no logical date: trigger the Dag with the date of a night")
    return logical_date.astimezone(UTC).date()


def attempt(work: Callable[[], Any]) -> Any:
    """What the work returns; it is not tried again where the same would fail the same."""
    from recommender.errors import DatabaseError, RecommenderError

    try:
        return work()
    except DatabaseError:
        raise  # may be back in a minute: retry
    except RecommenderError as error:
        raise AirflowFailException(str(error)) from None


def run_stage(name: str, logical_date: datetime | None, **arguments: Any) -> dict[str, Any]:
    """Run `recommender.pipeline.<name>` for the run's night."""
    from recommender import pipeline  # seconds of import: never while the Dag is parsed
    from recommender.data.dataset import night_end

    ds = night_of(logical_date)
    if night_end(ds) > datetime.now(UTC):
        raise AirflowFailException(f"night {ds} is not over before {night_end(ds):%Y-%m-%d %H:%M} UTC: run it then")
    result = attempt(lambda: getattr(pipeline, name)(load_settings(), ds, progress=log.info, **arguments))
    log.info(result.summary)
    returned: dict[str, Any] = result.as_dict()
    return returned


def stage(name: str, **options: Any) -> XComArg:
    """A task that runs a stage."""

    @task(task_id=name, **RETRY, **options)
    def run(logical_date: datetime | None = None) -> dict[str, Any]:  # Airflow fills in `logical_date`
        return run_stage(name, logical_date)

    return run()


def shards() -> list[XComArg]:
    """Where the profile has several, a task a shard of users; `publish` takes the lists that they leave."""
    if profile.publish.shards == 1:
        return []

    @task(task_id="rank", map_index_template="shard {{ task.op_kwargs['shard'] }}", **RETRY)
    def rank(shard: int, logical_date: datetime | None = None) -> dict[str, Any]:
        return run_stage("rank", logical_date, shard=shard)

    return [rank.expand(shard=list(range(profile.publish.shards)))]


@task.branch(**RETRY)  # type: ignore[untyped-decorator]
def asked(judged: Any, logical_date: datetime | None = None, ti: Any = None) -> str | None:
    """Leads to the person where the gate asks; where the next night waits already, the default answers at once."""
    if judged.get("decision") != "ask":
        return None
    from recommender import pipeline
    from recommender.data.dataset import night_end

    question = attempt(lambda: pipeline.question(load_settings(), judged["model_version"]))
    if question is None:
        return "approval.answer"  # `recommender gate` was quicker
    if night_end(night_of(logical_date) + timedelta(days=1)) <= datetime.now(UTC):
        log.info(f"the night after is over too and waits for this one: nobody is asked, {by_default} counts")
        return "approval.answer"
    ti.xcom_push(key="question", value=question)
    return "approval.approve"


@task.short_circuit(
    trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, ignore_downstream_trigger_rules=False, **RETRY
)
def answer(judged: Any, replied: Any, ti: Any = None) -> bool:
    """Stores what was replied, or for want of a reply the default; after a no, what follows is skipped."""
    from recommender import pipeline

    if ti.xcom_pull(task_ids="approval.asked", key="question") is None:
        replied = None  # nobody was asked this time: what Airflow kept is of a run that was cleared
    promote = (replied["chosen_options"] if replied else [by_default]) == [APPROVE]
    by: Literal["person", "deadline"] = "person" if replied and replied["responded_by_user"] else "deadline"
    result = attempt(lambda: pipeline.answer(load_settings(), judged["model_version"], promote, by))
    log.info(result.summary)
    return bool(result.detail["decision"] == "promote")


with DAG(
    dag_id="nightly",
    schedule=CronDataIntervalTimetable(schedule.cron, timezone="UTC") if schedule.cron else None,
    start_date=first_night,
    end_date=last_night,
    catchup=True,
    max_active_runs=1,
    dagrun_timeout=WORKING + patience,
    tags=["recommender"],
    doc_md=f"""
### One run is one night
The night `ds` is the UTC day of the run's **logical date** (a scheduled run's id shows the day after). It takes in that
day's events after the day is over, and the first one, `{schedule.start_date}`, everything before it too. Nights run one
at a time, oldest first.

| task | what it does | when it fails |
| --- | --- | --- |
| ingest | reads and validates the day's files | stops the night; last night's recommendations stay live |
| features | snapshots, feature store | stops the night; last night's recommendations stay live |
| train | fits a candidate | the champion is published on fresh features |
| judge, refit | the gate; refits what it promotes | the champion is published on fresh features |
| rank | with `publish.shards`: a task for each part of the users | clear it; last night's recommendations stay live |
| publish | loads, checks and switches the publication | last night's recommendations stay live |
| approval | where the gate asks: a person's answer, then refit and publish again | the champion's lists stay live |

The run is green only when all of it went well. **The reason** of a failure stands in red in the failed task's log.

* **A question** waits under *Required Actions* for {patience}; then *{by_default}* counts. It counts at once where
  the night after is over already. `recommender gate` asks and answers too.
* **Run again**: clear the failed task, or the whole run. A night leaves the same rows however often it runs.
* **By hand**: trigger with a logical date between `{schedule.start_date}` and `{schedule.end_date or "yesterday"}`.
  Before it, Airflow ends the run as a success without a single task; after it, the run waits and holds up the others
  (it is given up after {WORKING + patience}).
* **Undo**: trigger the Dag `rollback`. It makes the previous publication live.
* Downstream Dags can be scheduled on the asset `{PUBLICATION.name}`.
* `train` and `refit` run in pool and queue `gpu`; the pool must exist.
""",
) as dag:
    with TaskGroup("ingest"):
        ingest = stage("ingest")
    with TaskGroup("features"):
        features = stage("features")
    with TaskGroup("train"):
        train = stage("train", **GPU)
    with TaskGroup("judge"):
        judge = stage("judge")
        refit = stage("refit", **GPU)
    settle = EmptyOperator(task_id="settle", trigger_rule=TriggerRule.ALL_DONE)  # a champion is enough to go on
    with TaskGroup("publish"):
        ranked = shards()
        publish = stage("publish", outlets=[PUBLICATION])
    with TaskGroup("approval"):
        put = asked(judge)
        # an ApprovalOperator would skip the task that stores a rejection
        approve = HITLOperator(
            task_id="approve",
            subject="Night {{ logical_date | ds }}: promote {{ ti.xcom_pull('judge.judge')['model_version'] }}?",
            body="{{ ti.xcom_pull('approval.asked', key='question') }}",
            options=[APPROVE, REJECT],
            defaults=by_default,
            response_timeout=patience,
            **RETRY,
        )
        answered = answer(judge, approve.output)
        refit_promoted = stage("refit", **GPU)
        ranked_promoted = shards()
        publish_promoted = stage("publish", outlets=[PUBLICATION])
    # turns the run red when anything above failed
    complete = EmptyOperator(task_id="complete", trigger_rule=TriggerRule.NONE_FAILED)

    ingest >> features >> train >> judge >> refit >> settle >> publish >> put >> [approve, answered]
    features >> publish
    answered >> refit_promoted >> publish_promoted
    for rank in ranked:
        [settle, features] >> rank >> publish
    for rank in ranked_promoted:
        refit_promoted >> rank >> publish_promoted
    [train, refit, publish, publish_promoted] >> complete
