"""Airflow's REST interface, as far as running nights needs it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import quote

import httpx

from recommender.errors import NotReadyError

_TIMEOUT_SECONDS = 30.0
_HEALTH = {"metadatabase": "api-server", "scheduler": "scheduler", "dag_processor": "dag-processor"}
"""Airflow's names in its health answer, and the component whose log tells more."""


@dataclass(frozen=True)
class Run:
    """One run of a Dag: one night."""

    run_id: str
    ds: date
    state: str


@dataclass(frozen=True)
class TaskRun:
    """The newest try of one task in a run."""

    task_id: str
    state: str | None
    """None before it is scheduled; then Airflow's words: queued, running, success, failed, …"""
    seconds: float | None
    """How long it has run, to its end or until now; None before it starts."""
    try_number: int


class AirflowClient:
    """One logged-in user of a running Airflow."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._login = {"username": user, "password": password}
        self._token: str | None = None

    def close(self) -> None:
        self._http.close()

    def unhealthy(self) -> list[str]:
        """The components that do not (yet) report a heartbeat."""
        try:
            answer = self._http.get("/api/v2/monitor/health")
        except httpx.TransportError:
            return list(_HEALTH.values())
        if answer.status_code != httpx.codes.OK:
            return ["api-server"]
        health = answer.json()
        return [name for key, name in _HEALTH.items() if (health.get(key) or {}).get("status") != "healthy"]

    def ensure_pool(self, name: str, slots: int) -> None:
        """Create a pool unless it exists; an operator's own number of slots is left alone."""
        description = "tasks that want the machine's accelerator to themselves"
        body = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        self._call("POST", "/pools", json=body, accept=(httpx.codes.CONFLICT,))

    def import_errors(self) -> list[str]:
        """One line for each Dag file that cannot be read."""
        errors = self._call("GET", "/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in errors]

    def has_dag(self, dag_id: str) -> bool:
        return self._call("GET", f"/dags/{dag_id}", accept=(httpx.codes.NOT_FOUND,)).get("dag_id") == dag_id

    def set_paused(self, dag_id: str, paused: bool) -> None:
        """A paused Dag starts nothing by itself, and holds back the tasks of its runs."""
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": paused})

    def runs(self, dag_id: str) -> list[Run]:
        """Runs by logical date, oldest first."""
        answer = self._call("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "logical_date", "limit": 100})
        return [_run(entry) for entry in answer["dag_runs"] if entry["logical_date"]]

    def trigger(self, dag_id: str, logical_date: datetime) -> None:
        """Start a run by hand; nothing happens where that logical date has one already."""
        body = {"logical_date": logical_date.isoformat()}
        self._call("POST", f"/dags/{dag_id}/dagRuns", json=body, accept=(httpx.codes.CONFLICT,))

    def clear(self, dag_id: str, run_id: str) -> None:
        """Run every task of a run again, whatever its state.

        The run is ended first: tasks of a killed Airflow stay `running` in its books, and would be waited for.
        """
        path = f"/dags/{dag_id}/dagRuns/{_path(run_id)}"
        self._call("PATCH", path, json={"state": "failed"})
        self._call("POST", f"{path}/clear", json={"dry_run": False, "only_failed": False})

    def run(self, dag_id: str, run_id: str) -> Run:
        return _run(self._call("GET", f"/dags/{dag_id}/dagRuns/{_path(run_id)}"))

    def tasks(self, dag_id: str, run_id: str) -> list[TaskRun]:
        answer = self._call("GET", f"/dags/{dag_id}/dagRuns/{_path(run_id)}/taskInstances", params={"limit": 100})
        return [
            TaskRun(entry["task_id"], entry["state"], _seconds(entry), entry["try_number"])
            for entry in answer["task_instances"]
        ]

    def result(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """What a task returned; empty when it returned nothing."""
        path = f"/dags/{dag_id}/dagRuns/{_path(run_id)}/taskInstances/{task_id}/xcomEntries/return_value"
        value = self._call("GET", path, accept=(httpx.codes.NOT_FOUND,)).get("value")
        return value if isinstance(value, dict) else {}

    def _call(self, method: str, path: str, accept: tuple[int, ...] = (), **arguments: Any) -> dict[str, Any]:
        """Send a request, logging in first and again when the login has run out."""
        for attempt in (1, 2):
            if self._token is None:
                self._token = self._sent("POST", "/auth/token", json=self._login).json()["access_token"]
            headers = {"Authorization": f"Bearer {self._token}"}
            answer = self._sent(method, f"/api/v2{path}", headers=headers, **arguments)
            if answer.status_code == httpx.codes.UNAUTHORIZED and attempt == 1:
                self._token = None
                continue
            break
        if answer.is_error and answer.status_code not in accept:
            raise NotReadyError(f"Airflow answered {answer.status_code} to {method} {path}: {answer.text[:300]}")
        content: dict[str, Any] = answer.json() if answer.content else {}
        return content

    def _sent(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise NotReadyError(f"Airflow does not answer at {self._http.base_url}: {error}") from None


def _run(entry: dict[str, Any]) -> Run:
    logical_date = datetime.fromisoformat(entry["logical_date"])
    return Run(entry["dag_run_id"], logical_date.date(), entry["state"])


def _seconds(entry: dict[str, Any]) -> float | None:
    if entry["state"] == "running" and entry["start_date"]:
        return (datetime.now(UTC) - datetime.fromisoformat(entry["start_date"])).total_seconds()
    duration: float | None = entry["duration"]
    return duration


def _path(run_id: str) -> str:
    return quote(run_id, safe="")
