"""The Dags' wiring, run for real by `dag.test()`; only the stages themselves are stand-ins."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest

from recommender import pipeline
from recommender.errors import NotReadyError, RecommenderError
from recommender.local.environment import DAGS
from recommender.progress import Progress, quiet
from recommender.publishing.erasure import Erasure
from tests.dags.conftest import PlantedError, RunDag, Stages, night

ORDER = ["ingest", "features", "train", "judge", "refit", "publish"]
APPROVAL = [f"approval.{name}" for name in ("asked", "approve", "answer", "refit", "publish")]


@pytest.mark.parametrize(("day", "hour"), [(2, 2), (3, 0), (4, 23)])
def test_a_night_is_the_utc_day_of_the_logical_date(run_dag: RunDag, stages: Stages, day: int, hour: int) -> None:
    states = run_dag("nightly", night(day, hour))
    assert {state for task, state in states.items() if task not in APPROVAL} == {"success"}
    assert [states[task] for task in APPROVAL] == ["success", *["skipped"] * 4], "nobody was asked"
    assert stages.called == [(name, date(2026, 3, day)) for name in ORDER]


@pytest.mark.parametrize("broken", ["train", "judge", "refit"])
def test_without_a_new_model_the_champion_is_published_and_the_run_is_red(
    run_dag: RunDag, stages: Stages, broken: str
) -> None:
    stages.fail = {broken: PlantedError("planted")}
    states = run_dag("nightly", night(5))
    assert stages.names == [*ORDER[: ORDER.index(broken) + 1], "publish"]
    assert states["publish.publish"] == "success"
    assert states["complete"] == "upstream_failed"
    assert states["run"] == "failed"


def test_each_shard_of_the_users_is_ranked_before_they_are_published(
    dags: dict[str, Any], stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("RECOMMENDER__PUBLISH__SHARDS", "3")
    dag = DagBag(str(DAGS / "nightly.py"), bundle_name="dags-folder").dags["nightly"]
    finished = dag.test(logical_date=night(14))
    assert str(finished.state) == "success"
    assert stages.names == [*ORDER[:-1], "rank", "rank", "rank", "publish"]
    assert sorted(given["shard"] for name, given in stages.given if name == "rank") == [0, 1, 2]


@dataclass
class Gate:
    """Stands in for the gate's question and its answers."""

    outcome: str
    """What an answer ends with, whatever it was."""
    question: str | None = "promote it?"
    answers: list[tuple[str, bool, str]] = field(default_factory=list)

    def ask(self, settings: pipeline.Settings, model_version: str) -> str | None:
        return self.question

    def answer(
        self, settings: pipeline.Settings, model_version: str, promote: bool, by: str = "person"
    ) -> pipeline.StageResult:
        self.answers.append((model_version, promote, by))
        detail = {"model_version": model_version, "decision": self.outcome}
        return pipeline.StageResult("answer", date(2026, 3, 7), "answered", detail)


def asks(monkeypatch: pytest.MonkeyPatch, stages: Stages, gate: Gate) -> Gate:
    stages.returned = {"judge": {"model_version": "ease-1", "decision": "ask"}}
    monkeypatch.setattr(pipeline, "question", gate.ask)
    monkeypatch.setattr(pipeline, "answer", gate.answer)
    return gate


def test_nobody_is_waited_for_while_later_nights_wait(
    run_dag: RunDag, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = asks(monkeypatch, stages, Gate(outcome="reject"))
    states = run_dag("nightly", night(7))
    assert gate.answers == [("ease-1", False, "deadline")]
    assert stages.names == ORDER
    assert [states[task] for task in APPROVAL] == ["success", "skipped", "success", "skipped", "skipped"]
    assert (states["complete"], states["run"]) == ("success", "success")


@pytest.mark.parametrize("question", [None, "promote it?"])
def test_what_is_promoted_is_fitted_once_more_and_published_again(
    run_dag: RunDag, stages: Stages, monkeypatch: pytest.MonkeyPatch, question: str | None
) -> None:
    """Also where somebody answered by the command line before the task could ask."""
    gate = asks(monkeypatch, stages, Gate("promote", question))
    states = run_dag("nightly", night(11 if question else 12))
    assert gate.answers == [("ease-1", False, "deadline")]
    assert stages.names == [*ORDER, "refit", "publish"]
    assert [states[task] for task in APPROVAL] == ["success", "skipped", "success", "success", "success"]
    assert states["run"] == "success"


def test_an_answer_that_is_refused_ends_red_and_the_champion_is_live(
    run_dag: RunDag, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks(monkeypatch, stages, Gate("promote"))

    def refuse(*_: object) -> None:
        raise NotReadyError("another champion is of a newer night")

    monkeypatch.setattr(pipeline, "answer", refuse)
    states = run_dag("nightly", night(13))
    assert stages.names == ORDER
    assert (states["publish.publish"], states["approval.answer"]) == ("success", "failed")
    assert (states["complete"], states["run"]) == ("upstream_failed", "failed")


@pytest.mark.parametrize("broken", ["ingest", "features"])
def test_bad_data_stops_the_night_before_publishing(run_dag: RunDag, stages: Stages, broken: str) -> None:
    stages.fail = {broken: PlantedError("planted")}
    states = run_dag("nightly", night(6))
    assert stages.names == ORDER[: ORDER.index(broken) + 1]
    assert states["publish.publish"] == "upstream_failed"
    assert states["run"] == "failed"


def test_a_night_that_is_not_over_is_refused(run_dag: RunDag, stages: Stages) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    states = run_dag("nightly", today)
    assert states["ingest.ingest"] == "failed"
    assert states["run"] == "failed"
    assert stages.called == []


def test_rollback(run_dag: RunDag, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def rollback(settings: pipeline.Settings) -> int:
        asked.append(settings.profile.name)
        return 7

    monkeypatch.setattr(pipeline, "rollback", rollback)
    assert run_dag("rollback", night(7))["run"] == "success"
    assert asked == ["synthetic"]


def test_a_rollback_to_nothing_fails_without_a_retry(run_dag: RunDag, monkeypatch: pytest.MonkeyPatch) -> None:
    def rollback(settings: pipeline.Settings) -> int:
        raise NotReadyError("no earlier publication is kept")

    monkeypatch.setattr(pipeline, "rollback", rollback)
    assert run_dag("rollback", night(8))["rollback"] == "failed"


def test_an_erasure(run_dag: RunDag, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def erase(settings: pipeline.Settings, user_ids: Sequence[str] = (), progress: Progress = quiet) -> Erasure:
        asked.append(settings.profile.name)
        progress("lake/events: 3 rows removed")
        return Erasure(1, {"lake/events": 3})

    monkeypatch.setattr(pipeline, "erase", erase)
    assert run_dag("erase", night(9))["run"] == "success"
    assert asked == ["synthetic"]


def test_an_erasure_gives_up_on_what_the_next_try_would_not_change(
    run_dag: RunDag, monkeypatch: pytest.MonkeyPatch
) -> None:
    def erase(*_: object, **__: object) -> Erasure:
        raise RecommenderError("the erasure list is damaged")

    monkeypatch.setattr(pipeline, "erase", erase)
    assert run_dag("erase", night(10))["erase"] == "failed"  # it would wait a quarter of an hour for another try
