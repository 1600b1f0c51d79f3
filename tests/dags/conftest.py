"""A migrated Airflow metadata database in an embedded PostgreSQL, and the Dags read against it."""

import inspect
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pytest

from recommender.config.settings import load_settings
from recommender.errors import RecommenderError
from recommender.local.environment import DAGS, airflow_environment
from recommender.local.metadata import metadata_url, migrate
from recommender.storage import embedded

FIRST_NIGHT = date(2026, 3, 1)
UNUSED_PORT = 1


@pytest.fixture(scope="package")
def airflow(tmp_path_factory: pytest.TempPathFactory, postgres_socket: str) -> Iterator[None]:
    """Airflow's settings and metadata; nothing may import Airflow before, as it reads them once."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("RECOMMENDER_DATABASE_URL", embedded.url(postgres_socket))
        patch.setenv("RECOMMENDER_PROFILE", "synthetic")
        patch.setenv("RECOMMENDER__SCHEDULE__START_DATE", FIRST_NIGHT.isoformat())
        patch.setenv("RECOMMENDER__SCHEDULE__END_DATE", "null")
        settings = load_settings()
        airflow_home = settings.world / "airflow"
        airflow_home.mkdir(parents=True)
        environment = airflow_environment(settings, airflow_home, UNUSED_PORT, metadata_url(settings))
        migrate(airflow_home, environment)
        for name, value in environment.items():
            patch.setenv(name, value)
        yield
    root.handlers[:] = handlers  # Airflow sets up logging when it is imported
    root.setLevel(level)


@pytest.fixture(scope="package")
def dags(airflow: None) -> dict[str, Any]:
    """Every Dag of the folder by id."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(DAGS), bundle_name="dags-folder")
    assert bag.import_errors == {}
    return dict(bag.dags)


@dataclass
class Stages:
    """Stands in for the pipeline's stages: records each call, and fails where it is told to."""

    called: list[tuple[str, date]] = field(default_factory=list)
    given: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """With every argument."""
    fail: dict[str, Exception] = field(default_factory=dict)
    returned: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By stage: what its result tells the next tasks."""

    def stand_in(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        from recommender.pipeline import StageResult

        def stage(*args: Any, **kwargs: Any) -> StageResult:
            given = inspect.signature(original).bind(*args, **kwargs).arguments  # as the real one would be called
            given["progress"](f"{name} at 50%")
            self.called.append((name, given["ds"]))
            self.given.append((name, dict(given)))
            if name in self.fail:
                raise self.fail[name]
            return StageResult(name, given["ds"], f"{name} done", self.returned.get(name, {"rows": 3}))

        return stage

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.called]


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    from recommender import pipeline

    stages = Stages()
    for name in (*pipeline.STAGES, "rank"):
        monkeypatch.setattr(pipeline, name, stages.stand_in(name, getattr(pipeline, name)))
    return stages


RunDag = Callable[[str, datetime], dict[str, str]]


@pytest.fixture
def run_dag(dags: dict[str, Any]) -> RunDag:
    """Runs a Dag in this process; returns each task's final state, and the run's own under `run`."""

    def run(dag_id: str, logical_date: datetime) -> dict[str, str]:
        finished = dags[dag_id].test(logical_date=logical_date)
        states = {task.task_id: str(task.state) for task in finished.get_task_instances()}
        return {**states, "run": str(finished.state)}

    return run


def night(day: int, hour: int = 2) -> datetime:
    """A logical date of the test's month."""
    return datetime(FIRST_NIGHT.year, FIRST_NIGHT.month, day, hour, tzinfo=UTC)


class PlantedError(RecommenderError):
    """An expected failure, planted by a test."""
