"""The Dags' wiring, run for real by `dag.test()`; only the stages themselves are stand-ins."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest

from recommender import pipeline
from recommender.errors import NotReadyError, RecommenderError
from recommender.progress import Progress, quiet
from recommender.publishing.erasure import Erasure
from tests.dags.conftest import PlantedError, RunDag, Stages, night

ORDER = ["ingest", "features", "train", "judge", "refit", "publish"]


@pytest.mark.parametrize(("day", "hour"), [(2, 2), (3, 0), (4, 23)])
def test_a_night_is_the_utc_day_of_the_logical_date(run_dag: RunDag, stages: Stages, day: int, hour: int) -> None:
    states = run_dag("nightly", night(day, hour))
    assert set(states.values()) == {"success"}
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
