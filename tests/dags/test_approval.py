"""A person answers in a real Airflow, by the interface of its own page. The stages are stand-ins, the gate is not."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from recommender.config.settings import load_settings
from recommender.local.airflow import LocalAirflow
from recommender.local.environment import DAGS
from recommender.storage import embedded, registry, verdicts
from recommender.storage.postgres import connect

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
EARLIER = YESTERDAY - timedelta(days=1)
STAGES = ["ingest", "features", "train", "judge", "refit", "publish"]
PATIENT, IMPATIENT = 8, 0.006
NOTICED_SECONDS = 12.0
"""A task that goes on before the scheduler knows that it waits is taken for dead, and asks once more."""
STAND_INS = f'''
"""Airflow's real Dag over stages that only leave their names; judging asks about a new candidate each time."""
from pathlib import Path

from recommender import pipeline
from recommender.config.policy import load_policy
from recommender.storage import registry
from recommender.storage.postgres import connect


def stand_in(name):
    def stage(settings, ds, progress):
        with connect(settings) as connection:
            connection.execute(
                "insert into reco.stage_runs (ds, stage, status, started_at, seconds, summary)"
                " values (%s, %s, 'done', now(), 0, '')",
                [ds, name],
            )
            version = f"ease-{{ds}}"
            if name == "judge":
                registry.register(connection, version, "ease", ds, Path("nowhere"), "0", {{}}, {{}})
                policy = load_policy(settings.profile.gate.policy)
                registry.record_verdict(connection, version, "ask", {{}}, [], policy=policy, summary="Is it?")
        return pipeline.StageResult(name, ds, name, {{"model_version": version, "decision": "ask"}})

    return stage


for name in pipeline.STAGES:
    setattr(pipeline, name, stand_in(name))
exec(compile(Path({str(DAGS / "nightly.py")!r}).read_text(), __file__, "exec"))
'''

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Nights:
    """A running Airflow whose Dag is the real one."""

    def __init__(self, airflow: LocalAirflow, policy: Path) -> None:
        self.airflow, self.settings, self._policy = airflow, airflow.settings, policy

    def wait_for_people(self, hours: float) -> None:
        ask = f"ask: {{within_hours: {hours}, otherwise: reject}}"
        self._policy.write_text(f"{ask}\nrules: [{{name: any, metric: recall@20, at_least: 0}}]\n")

    def begin(self, ds: date) -> str:
        """The id of the night's run; one that ran before runs again."""
        before = [run.run_id for run in self.airflow.client.runs("nightly") if run.ds == ds]
        with connect(self.settings) as connection:
            connection.execute("delete from reco.stage_runs where ds = %s", [ds])
        if before:
            self.airflow.client.clear("nightly", before[0])
        else:
            self.airflow.client.trigger("nightly", datetime.combine(ds, clock.min, UTC))
        return next(run.run_id for run in self.airflow.client.runs("nightly") if run.ds == ds)

    def tasks(self, run_id: str) -> dict[str, str | None]:
        return {task.task_id: task.state for task in self.airflow.client.tasks("nightly", run_id)}

    def end(self, run_id: str) -> dict[str, str | None]:
        """Every task's state after the run."""
        wait_until(lambda: self.airflow.client.run("nightly", run_id).state in ("success", "failed"))
        return {**self.tasks(run_id), "run": self.airflow.client.run("nightly", run_id).state}

    def asked(self, run_id: str) -> dict[str, Any]:
        """What a person sees, as soon as there is something."""
        wait_until(lambda: self.tasks(run_id).get("approval.approve") == "awaiting_input")
        time.sleep(NOTICED_SECONDS)
        return self._question(run_id, "GET")

    def answer(self, run_id: str, option: str) -> None:
        self._question(run_id, "PATCH", json={"chosen_options": [option], "params_input": {}})

    def _question(self, run_id: str, method: str, **arguments: Any) -> dict[str, Any]:
        path = f"/dags/nightly/dagRuns/{quote(run_id)}/taskInstances/approval.approve/-1/hitlDetails"
        return self.airflow.client._call(method, path, **arguments)

    def stages(self, ds: date) -> list[str]:
        with connect(self.settings) as connection:
            rows = connection.execute("select stage from reco.stage_runs where ds = %s order by run_id", [ds])
            return [stage for (stage,) in rows.fetchall()]

    def outcome(self, ds: date) -> tuple[str, str | None, str | None]:
        """The candidate's status, the answer and who gave it."""
        with connect(self.settings) as connection:
            ruling = verdicts.known(connection, f"ease-{ds}")
            return registry.known(connection, f"ease-{ds}").status, ruling.answer, ruling.decided_by


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    folder = tmp_path_factory.mktemp("approval")
    (folder / "dags").mkdir()
    (folder / "dags" / "nightly.py").write_text(STAND_INS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(folder / "home"))
        patch.setenv("RECOMMENDER__GATE__POLICY", str(folder / "policy.yaml"))
        patch.setenv("RECOMMENDER__SCHEDULE__START_DATE", EARLIER.isoformat())
        patch.setenv("RECOMMENDER__SCHEDULE__END_DATE", "null")
        patch.setenv("RECOMMENDER__SCHEDULE__CRON", "null")
        settings = load_settings("synthetic")
        airflow = LocalAirflow(settings, {"AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags")})
        nights = Nights(airflow, folder / "policy.yaml")
        nights.wait_for_people(PATIENT)
        with airflow:
            wait_until(lambda: airflow.client.has_dag("nightly"), 60)
            airflow.client.set_paused("nightly", False)
            yield nights
        embedded.stop(settings.postgres)


def test_the_champion_is_published_while_a_person_decides_and_what_they_approve_after(nights: Nights) -> None:
    run = nights.begin(YESTERDAY)
    asked = nights.asked(run)
    assert nights.stages(YESTERDAY) == STAGES
    assert nights.outcome(YESTERDAY) == ("candidate", None, None)
    assert asked["subject"] == f"Night {YESTERDAY}: promote ease-{YESTERDAY}?"
    assert f"asks about ease-{YESTERDAY}" in asked["body"]
    assert (asked["options"], asked["defaults"]) == (["Approve", "Reject"], ["Reject"])
    nights.answer(run, "Approve")
    states = nights.end(run)
    assert set(states.values()) == {"success"}
    assert nights.stages(YESTERDAY) == [*STAGES, "refit", "publish"]
    assert nights.outcome(YESTERDAY) == ("champion", "promote", "person")


def test_a_rejection_is_stored_and_the_run_is_green(nights: Nights) -> None:
    run = nights.begin(YESTERDAY)
    nights.asked(run)
    nights.answer(run, "Reject")
    states = nights.end(run)
    assert (states["run"], states["approval.refit"], states["approval.publish"]) == ("success", "skipped", "skipped")
    assert nights.stages(YESTERDAY) == STAGES
    assert nights.outcome(YESTERDAY) == ("rejected", "reject", "person")


def test_the_deadline_answers_by_the_policy(nights: Nights) -> None:
    nights.wait_for_people(IMPATIENT)
    run = nights.begin(YESTERDAY)
    states = nights.end(run)
    assert (states["run"], states["approval.approve"], states["approval.refit"]) == ("success", "success", "skipped")
    assert nights.outcome(YESTERDAY) == ("rejected", "reject", "deadline")


def test_a_night_that_holds_others_up_waits_for_nobody(nights: Nights) -> None:
    nights.wait_for_people(PATIENT)
    states = nights.end(nights.begin(EARLIER))
    assert (states["run"], states["approval.approve"], states["approval.answer"]) == ("success", "skipped", "success")
    assert nights.outcome(EARLIER) == ("rejected", "reject", "deadline")
