"""A real local Airflow: starts, is found by later commands, stops and leaves nothing behind."""

import stat
from collections.abc import Iterator

import httpx
import psutil
import pytest

from recommender.config.settings import Settings, load_settings
from recommender.errors import NotReadyError
from recommender.local import down, up
from recommender.local.airflow import LocalAirflow, stop_airflow
from recommender.storage import embedded


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """One world for all tests here: migrating Airflow's metadata takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(tmp_path_factory.mktemp("home")))
        settings = load_settings("synthetic")
        yield settings
        stop_airflow(settings.world / "airflow")
        embedded.stop(settings.postgres)


def test_a_component_that_cannot_start_is_named_with_its_log(settings: Settings) -> None:
    airflow = LocalAirflow(settings, {"AIRFLOW__CORE__EXECUTOR": "NoSuchExecutor"})
    with pytest.raises(NotReadyError, match=r"scheduler stopped by itself .*see .*scheduler\.log"):
        airflow.start()
    assert not airflow.attach()


def test_up_twice_and_down_twice(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert up.main() == 0
    airflow = LocalAirflow(settings)
    assert airflow.attach()
    assert airflow.url in capsys.readouterr().out
    assert up.main() == 0
    with pytest.raises(NotReadyError, match="up already"):
        airflow.start()

    assert airflow.client.has_dag("rollback") or airflow.client.import_errors() == []
    assert httpx.get(f"{airflow.url}/api/v2/dags").status_code == httpx.codes.UNAUTHORIZED
    private = [airflow.home / name for name in ("secrets.json", "passwords.json")]
    assert [stat.S_IMODE(path.stat().st_mode) for path in private] == [0o600, 0o600]

    family = [psutil.Process(child.pid) for child in airflow._children]
    family += [grandchild for process in family for grandchild in process.children(recursive=True)]
    assert down.main() == 0
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert embedded.running(settings.postgres) is None
    assert down.main() == 0
    assert capsys.readouterr().out.endswith("nothing was running\n")
    assert not airflow.attach()
