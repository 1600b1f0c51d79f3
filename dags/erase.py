"""Erasure: removes everybody who waits in `reco.erasure_requests`. It takes no user id, so that Airflow keeps none."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException

from recommender.config.settings import load_settings

log = logging.getLogger("recommender.erase")

with DAG(
    dag_id="erase",
    schedule="@daily",
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["recommender"],
    doc_md="""
Removes users **everywhere**, for good: lake, snapshots, quarantine, feature store, publications, id maps of artifacts.
They stay out of every later night.

* **Ask for it in SQL**: `select reco.request_erasure('user-42')`. An id never goes through Airflow: the form of a run,
  its configuration and its logs would keep it.
* **When**: every day once this Dag is unpaused, or at once by triggering it. With nobody waiting it does nothing.
* It waits for a running stage of a night, for up to 15 minutes, and is then tried again; a night waits for it.
* **Killed or failed**: run it again, it finishes. The request stays until all is done.
* **The audit**: `select * from reco.erasures`, a row a user, without the id.
""",
) as dag:

    @task(task_id="erase", retries=8, retry_delay=timedelta(minutes=15))
    def erase() -> dict[str, Any]:
        from recommender import pipeline  # seconds of import: never while the Dag is parsed
        from recommender.errors import DatabaseError, NotReadyError, RecommenderError

        try:
            done = pipeline.erase(load_settings(reads_sources=False), progress=log.info)
        except (DatabaseError, NotReadyError):
            raise  # PostgreSQL may be back, or the night be done, by the next try
        except RecommenderError as error:
            raise AirflowFailException(str(error)) from None
        log.info(done.summary)
        return {"users": done.users, "places": done.places}

    erase()
