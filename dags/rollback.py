"""Undo: makes the previous publication live again. Started by hand."""

import logging
from datetime import UTC, datetime

from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException

from recommender.config.settings import load_settings

log = logging.getLogger("recommender.rollback")

with DAG(
    dag_id="rollback",
    schedule=None,
    start_date=datetime(2000, 1, 1, tzinfo=UTC),
    max_active_runs=1,
    is_paused_upon_creation=False,  # a paused Dag would leave the run that someone in a hurry triggers queued
    tags=["recommender"],
    doc_md="""
Makes the **previous** publication live, in one transaction; readers see the one or the other. Each run goes one
publication further back. The next night publishes anew.
""",
) as dag:

    @task(task_id="rollback")
    def rollback() -> dict[str, int]:
        from recommender import pipeline  # seconds of import: never while the Dag is parsed
        from recommender.errors import RecommenderError

        try:
            publication_id = pipeline.rollback(load_settings())
        except RecommenderError as error:
            raise AirflowFailException(str(error)) from None
        log.info("publication %s is live again", publication_id)
        return {"publication_id": publication_id}

    rollback()
