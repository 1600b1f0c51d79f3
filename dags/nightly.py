"""The night: one run is one night, named by the UTC day of its logical date and by nothing else."""

import logging
from datetime import UTC, datetime, time, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, TaskGroup, TriggerRule, XComArg, task
from airflow.sdk.exceptions import AirflowFailException

from recommender.config.settings import load_settings

log = logging.getLogger("recommender.nightly")

PUBLICATION = Asset("recommender_publication")
GPU: dict[str, Any] = {"queue": "gpu", "pool": "gpu"}
RETRIES = 2

schedule = load_settings().profile.schedule
first_night = datetime.combine(schedule.start_date, time.min, UTC)
last_night = datetime.combine(schedule.end_date, time.max, UTC) if schedule.end_date else None


def stage(name: str, **options: Any) -> XComArg:
    """A task that runs `recommender.pipeline.<name>` for the run's night."""

    @task(task_id=name, retries=RETRIES, retry_delay=timedelta(minutes=1), retry_exponential_backoff=True, **options)
    def run(logical_date: datetime | None = None) -> dict[str, Any]:  # Airflow fills in `logical_date`
        from recommender import pipeline  # seconds of import: never while the Dag is parsed
        from recommender.data.dataset import night_end
        from recommender.errors import DatabaseError, RecommenderError

        if logical_date is None:
            raise AirflowFailException("this run has no logical date: trigger the Dag with the date of a night")
        ds = logical_date.astimezone(UTC).date()
        if night_end(ds) > datetime.now(UTC):
            raise AirflowFailException(f"night {ds} is not over before {night_end(ds):%Y-%m-%d %H:%M} UTC: run it then")
        try:
            result = getattr(pipeline, name)(load_settings(), ds, progress=log.info)
        except DatabaseError:
            raise  # may be back in a minute: retry
        except RecommenderError as error:
            raise AirflowFailException(str(error)) from None  # the same again would fail the same
        log.info(result.summary)
        returned: dict[str, Any] = result.as_dict()
        return returned

    return run()


with DAG(
    dag_id="nightly",
    schedule=CronDataIntervalTimetable(schedule.cron, timezone="UTC") if schedule.cron else None,
    start_date=first_night,
    end_date=last_night,
    catchup=True,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=24),
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
| publish | loads, checks and switches the publication | last night's recommendations stay live |

The run is green only when all of it went well. **The reason** of a failure stands in red in the failed task's log.

* **Run again**: clear the failed task, or the whole run. A night leaves the same rows however often it runs.
* **By hand**: trigger with a logical date between `{schedule.start_date}` and `{schedule.end_date or "yesterday"}`.
  Before it, Airflow ends the run as a success without a single task; after it, the run waits and holds up the others
  (it is given up after a day).
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
        publish = stage("publish", outlets=[PUBLICATION])
    complete = EmptyOperator(task_id="complete")  # turns the run red when anything above failed

    ingest >> features >> train >> judge >> refit >> settle >> publish >> complete
    features >> publish
    [train, refit] >> complete
