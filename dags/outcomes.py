"""Outcomes of experiments: measured after every publication, for the night that published."""

import logging
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, Asset, task
from airflow.sdk.exceptions import AirflowFailException

from recommender.config.settings import load_settings

log = logging.getLogger("recommender.outcomes")


def nights_of(events: Mapping[Any, Collection[Any]], logical_date: datetime | None) -> list[date]:
    """Nights of the runs whose publications started this one, oldest first; of a run by hand its own date."""
    runs = [event.source_dag_run for of_asset in events.values() for event in of_asset]
    dates = {run.logical_date for run in runs if run is not None} | {logical_date}
    return sorted({found.astimezone(UTC).date() for found in dates if found is not None})


with DAG(
    dag_id="outcomes",
    schedule=[Asset("recommender_publication")],
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,  # publications that a paused Dag misses start nothing later
    tags=["recommender"],
    doc_md="""
Measures **experiments**: what exposed users did on a night's day, how much of it was on the list they were served, and
how champion and challenger compare. Without an experiment it does nothing.

* **When**: after each publication, for the night of the `nightly` run that published it; its events are in the lake by
  then. Several publications that came together are measured in one run, oldest night first.
* **By hand**: trigger it with the night's date as logical date, or `recommender run outcomes --ds …`.
* **Run again**: clear the task. It leaves the same rows, and takes in events that came late.
* **What came out**: `recommender experiment show NAME`, or `select * from reco.experiment_results`.
* It stops nobody: a failure here leaves the night as it is.
""",
) as dag:

    @task(task_id="outcomes", retries=4, retry_delay=timedelta(minutes=5))
    def outcomes(triggering_asset_events: Any = None, logical_date: datetime | None = None) -> list[str]:
        from recommender import pipeline  # seconds of import: never while the Dag is parsed
        from recommender.errors import DatabaseError, RecommenderError

        nights = nights_of(triggering_asset_events or {}, logical_date)
        if not nights:
            raise AirflowFailException("this run has no night: trigger it with the date of one as its logical date")
        said = []
        for ds in nights:
            try:
                result = pipeline.outcomes(load_settings(reads_sources=False), ds, progress=log.info)
            except DatabaseError:
                raise  # may be back by the next try
            except RecommenderError as error:
                raise AirflowFailException(str(error)) from None
            log.info(result.summary)
            said.append(result.summary)
        return said

    outcomes()
