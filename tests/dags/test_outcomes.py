"""The Dag that measures experiments runs for the nights that published, not for the day it runs on."""

from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from recommender import pipeline
from recommender.config.settings import Settings
from recommender.errors import NotReadyError
from recommender.progress import Progress, quiet
from tests.dags.conftest import RunDag, Stages, night


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[date]:
    """Nights that the stage was called for."""
    nights: list[date] = []

    def outcomes(settings: Settings, ds: date, progress: Progress = quiet) -> pipeline.StageResult:
        progress("joining")
        nights.append(ds)
        return pipeline.StageResult("outcomes", ds, f"measured {ds}")

    monkeypatch.setattr(pipeline, "outcomes", outcomes)
    return nights


def triggered(dags: dict[str, Any], *events: Any, logical_date: datetime | None = None) -> list[str]:
    """What the task does with these asset events."""
    work = dags["outcomes"].get_task("outcomes").python_callable
    said: list[str] = work({"asset": list(events)} if events else None, logical_date)
    return said


def event(logical_date: datetime | None) -> SimpleNamespace:
    return SimpleNamespace(source_dag_run=SimpleNamespace(logical_date=logical_date))


def test_publications_start_it(dags: dict[str, Any]) -> None:
    dag = dags["outcomes"]
    assert dag.task_ids == ["outcomes"]
    assert [asset.name for asset in dag.schedule] == ["recommender_publication"]
    assert not dag.is_paused_upon_creation, "what a paused Dag misses is never measured"
    assert dag.max_active_runs == 1


def test_it_measures_the_nights_that_published(dags: dict[str, Any], measured: list[date]) -> None:
    said = triggered(
        dags, event(night(9)), event(night(8, 23)), event(night(9, 4)), SimpleNamespace(source_dag_run=None)
    )
    assert measured == [date(2026, 3, 8), date(2026, 3, 9)], "in their order, each once"
    assert said == ["measured 2026-03-08", "measured 2026-03-09"]


def test_by_hand_it_measures_the_night_of_the_date(run_dag: RunDag, measured: list[date]) -> None:
    assert run_dag("outcomes", night(10, 5))["run"] == "success"
    assert measured == [date(2026, 3, 10)]


def test_without_a_night_it_says_so(dags: dict[str, Any], measured: list[date]) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="this run has no night"):
        triggered(dags, event(None))
    assert measured == []


def test_what_would_fail_again_is_not_tried_again(run_dag: RunDag, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotReadyError("the lake has no night")

    monkeypatch.setattr(pipeline, "outcomes", refuse)
    assert run_dag("outcomes", night(11))["outcomes"] == "failed"


def test_publications_of_earlier_nights_are_measured_for_their_nights(
    dags: dict[str, Any], run_dag: RunDag, stages: Stages, measured: list[date], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's own run for two publications that came together: it has no logical date."""
    from airflow.models import dagrun
    from airflow.models.asset import AssetEvent
    from sqlalchemy import select

    for day in (14, 15):
        run_dag("nightly", night(day))
    create = dagrun.get_or_create_dagrun

    def with_events(*, session: Any, **options: Any) -> Any:
        run = create(session=session, **options)
        newest = select(AssetEvent).order_by(AssetEvent.id.desc()).limit(2)
        run.consumed_asset_events.extend(session.scalars(newest).all())
        session.commit()
        return run

    monkeypatch.setattr(dagrun, "get_or_create_dagrun", with_events)
    assert str(dags["outcomes"].test(logical_date=None).state) == "success"
    assert measured == [date(2026, 3, 14), date(2026, 3, 15)]
