"""Lets a running Airflow run given nights, one after the other, and watches them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from datetime import time as clock

from recommender.errors import NotReadyError
from recommender.local.airflow import LocalAirflow
from recommender.local.client import Run, TaskRun
from recommender.local.display import Display, Row, TaskLog

DAG = "nightly"
LOGGER = "recommender.nightly"
"""Where the Dag's tasks say how far they are."""
TASKS = ("ingest.ingest", "features.features", "train.train", "judge.judge", "judge.refit", "publish.publish")
QUESTION = "approval.approve"
"""Waits for a person for hours, after the champion is published."""

_POLL_SECONDS = 0.75
_LISTED_SECONDS = 60.0
_CATCH_UP_SECONDS = 30.0


@dataclass(frozen=True)
class Failure:
    """A task that failed, and why."""

    ds: date
    task: str
    reason: str
    log: str


def run_nights(airflow: LocalAirflow, nights: Sequence[date], display: Display) -> list[Failure]:
    """Run the nights and stop after the first with a failure; returns the failures. A night that asks a person is over.

    The Dag is unpaused, so that catch-up creates the runs; runs that exist already are run again. In the end
    it is paused: what runs next is for a person to say.

    Raises
    ------
    NotReadyError
        The Dag cannot be read, or the scheduler does not create a run.
    """
    _await_dag(airflow)
    existing = {run.ds: run for run in airflow.client.runs(DAG)}
    airflow.client.set_paused(DAG, False)
    try:
        for ds in nights:
            if ds in existing:
                airflow.client.clear(DAG, existing[ds].run_id)
            run = existing.get(ds) or _await_run(airflow, ds, created_by_hand=bool(existing))
            failures = _watch(airflow, run, display)
            if failures:
                return failures
    finally:
        airflow.client.set_paused(DAG, True)
    return []


def _await_dag(airflow: LocalAirflow) -> None:
    deadline = time.monotonic() + _LISTED_SECONDS
    while not airflow.client.has_dag(DAG):
        airflow.check()
        errors = airflow.client.import_errors()
        if errors:
            raise NotReadyError(f"Airflow cannot read a Dag: {errors[0]}")
        if time.monotonic() > deadline:
            raise NotReadyError(f"Airflow does not list the Dag {DAG!r}: see {airflow.home / 'dag-processor.log'}")
        time.sleep(_POLL_SECONDS)


def _await_run(airflow: LocalAirflow, ds: date, created_by_hand: bool) -> Run:
    """The night's run: the scheduler makes it, unless other nights have run and it will not go back to this one."""
    if created_by_hand:
        airflow.client.trigger(DAG, datetime.combine(ds, clock.min, UTC))
    deadline = time.monotonic() + _CATCH_UP_SECONDS
    while time.monotonic() < deadline:
        airflow.check()
        for run in airflow.client.runs(DAG):
            if run.ds == ds:
                return run
        time.sleep(_POLL_SECONDS)
    raise NotReadyError(f"Airflow has not started night {ds}: see {airflow.home / 'scheduler.log'}")


def _watch(airflow: LocalAirflow, run: Run, display: Display) -> list[Failure]:
    summaries: dict[str, str] = {}
    while True:
        airflow.check()
        state = airflow.client.run(DAG, run.run_id).state  # before the tasks: the last look then shows all of them
        tasks = {task.task_id: task for task in airflow.client.tasks(DAG, run.run_id)}
        rows = [_row(airflow, run, task_id, tasks.get(task_id), summaries) for task_id in TASKS]
        display.show(run.ds, rows)
        asks = QUESTION in tasks and tasks[QUESTION].state == "awaiting_input"
        if state in ("success", "failed") or asks:
            break
        time.sleep(_POLL_SECONDS)
    failed = [task for task in tasks.values() if task.state == "failed"]
    failures = [_failure(airflow, run, task) for task in failed]
    if state == "failed" and not failures:
        failures = [
            Failure(run.ds, "night", "the run was ended from outside or timed out", str(airflow.home / "scheduler.log"))
        ]
    return failures


def _row(airflow: LocalAirflow, run: Run, task_id: str, task: TaskRun | None, summaries: dict[str, str]) -> Row:
    name = task_id.rpartition(".")[2]
    line = ""
    if task is not None and task.state == "success":
        if task_id not in summaries:
            summaries[task_id] = str(airflow.client.result(DAG, run.run_id, task_id).get("summary", ""))
        line = summaries[task_id]
    elif task is not None and task.state == "running":
        line = TaskLog.of(airflow.home, DAG, run.run_id, task).progress(LOGGER)
    elif task is not None and task.state in ("failed", "up_for_retry"):
        line = TaskLog.of(airflow.home, DAG, run.run_id, task).reason()
    return Row(name, task, line)


def _failure(airflow: LocalAirflow, run: Run, task: TaskRun) -> Failure:
    log = TaskLog.of(airflow.home, DAG, run.run_id, task)
    return Failure(run.ds, task.task_id.rpartition(".")[2], log.reason(), str(log.path))
