"""The Dags as Airflow reads them."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recommender.config.policy import load_policy
from recommender.local.environment import DAGS

PARSE_SECONDS = 2.0
HEAVY = ("torch", "pandas", "pyarrow", "duckdb", "feast", "great_expectations", "evidently", "onnxruntime", "scipy")
MEASURE = """
import json, runpy, sys, time
import airflow.sdk, airflow.providers.standard.operators.empty, airflow.providers.standard.operators.hitl
started = time.perf_counter()
runpy.run_path(sys.argv[1])
print(json.dumps({"seconds": time.perf_counter() - started, "modules": sorted(sys.modules)}))
"""


def test_only_the_known_dags_are_there(dags: dict[str, Any]) -> None:
    assert sorted(dags) == ["erase", "nightly", "outcomes", "rollback"]


def test_a_night_is_a_task_group_a_stage(dags: dict[str, Any]) -> None:
    dag = dags["nightly"]
    assert sorted(name for name in dag.task_group_dict if name) == [
        "approval",
        "features",
        "ingest",
        "judge",
        "publish",
        "train",
    ]
    assert sorted(dag.task_ids) == [
        "approval.answer",
        "approval.approve",
        "approval.asked",
        "approval.publish",
        "approval.refit",
        "complete",
        "features.features",
        "ingest.ingest",
        "judge.judge",
        "judge.refit",
        "publish.publish",
        "settle",
        "train.train",
    ]


@pytest.mark.parametrize(
    ("task_id", "upstream", "trigger_rule"),
    [
        ("ingest.ingest", set(), "all_success"),
        ("features.features", {"ingest.ingest"}, "all_success"),
        ("train.train", {"features.features"}, "all_success"),
        ("judge.judge", {"train.train"}, "all_success"),
        ("judge.refit", {"judge.judge"}, "all_success"),
        ("settle", {"judge.refit"}, "all_done"),
        ("publish.publish", {"settle", "features.features"}, "all_success"),
        ("approval.asked", {"judge.judge", "publish.publish"}, "all_success"),
        ("approval.approve", {"approval.asked"}, "all_success"),
        (
            "approval.answer",
            {"judge.judge", "approval.asked", "approval.approve"},
            "none_failed_min_one_success",
        ),
        ("approval.refit", {"approval.answer"}, "all_success"),
        ("approval.publish", {"approval.refit"}, "all_success"),
        ("complete", {"publish.publish", "train.train", "judge.refit", "approval.publish"}, "none_failed"),
    ],
)
def test_what_waits_for_what(dags: dict[str, Any], task_id: str, upstream: set[str], trigger_rule: str) -> None:
    task = dags["nightly"].get_task(task_id)
    assert task.upstream_task_ids == upstream
    assert task.trigger_rule == trigger_rule


def test_users_in_several_shards_are_ranked_in_a_task_each(airflow: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.dag_processing.dagbag import DagBag

    monkeypatch.setenv("RECOMMENDER__PUBLISH__SHARDS", "3")
    dag = DagBag(str(DAGS / "nightly.py"), bundle_name="dags-folder").dags["nightly"]
    for rank, before, publish in (
        ("publish.rank", {"settle", "features.features"}, "publish.publish"),
        ("approval.rank", {"approval.refit"}, "approval.publish"),
    ):
        task = dag.get_task(rank)
        assert task.is_mapped
        assert task.upstream_task_ids == before
        assert rank in dag.get_task(publish).upstream_task_ids
        assert task.retries == 2


def test_only_training_asks_for_the_gpu(dags: dict[str, Any]) -> None:
    tasks = dags["nightly"].tasks
    training = {"train.train", "judge.refit", "approval.refit"}
    assert {task.task_id for task in tasks if task.queue == "gpu"} == training
    assert {task.task_id for task in tasks if task.pool == "gpu"} == training


def test_a_question_has_a_deadline_and_a_default_by_the_policy(dags: dict[str, Any]) -> None:
    dag, ask = dags["nightly"], load_policy(None).ask
    approve = dag.get_task("approval.approve")
    assert approve.options == ["Approve", "Reject"]
    assert approve.defaults == [{"promote": "Approve", "reject": "Reject"}[ask.otherwise]]
    assert approve.response_timeout == timedelta(hours=ask.within_hours)
    assert dag.dagrun_timeout > approve.response_timeout, "a run that waits is not given up before"


def test_nights_catch_up_one_at_a_time_from_the_first(dags: dict[str, Any]) -> None:
    dag = dags["nightly"]
    assert dag.catchup
    assert dag.max_active_runs == 1
    assert dag.start_date == datetime(2026, 3, 1, tzinfo=UTC)
    assert dag.end_date is None


def test_stages_are_retried(dags: dict[str, Any]) -> None:
    stages = [task for task in dags["nightly"].tasks if "." in task.task_id]
    assert len(stages) == 11
    assert all(task.retries == 2 and task.retry_delay.total_seconds() > 0 for task in stages)


def test_publishing_emits_the_asset(dags: dict[str, Any]) -> None:
    outlets = {task.task_id: [asset.name for asset in task.outlets] for task in dags["nightly"].tasks if task.outlets}
    assert outlets == {
        "publish.publish": ["recommender_publication"],
        "approval.publish": ["recommender_publication"],
    }


def test_rollback_is_started_by_hand_only(dags: dict[str, Any]) -> None:
    assert dags["rollback"].schedule is None
    assert dags["rollback"].task_ids == ["rollback"]
    assert dags["rollback"].is_paused_upon_creation is False, "a run of a paused Dag waits for ever"


def test_the_erasure_takes_no_id_and_works_the_queue_off_every_day(dags: dict[str, Any]) -> None:
    dag = dags["erase"]
    assert dag.task_ids == ["erase"]
    assert not dag.params, "what a run is given stays in Airflow's database for good"
    assert dag.schedule == "@daily"
    assert dag.get_task("erase").retries > 1, "it waits for a night that runs"
    assert not dag.catchup
    assert dag.max_active_runs == 1


def test_an_operator_finds_a_page_of_help(dags: dict[str, Any]) -> None:
    assert all(dag.doc_md and len(dag.doc_md.splitlines()) < 40 for dag in dags.values())


@pytest.mark.parametrize("file", ["erase.py", "nightly.py", "outcomes.py", "rollback.py"])
def test_reading_a_dag_is_quick_and_imports_nothing_heavy(airflow: None, file: str) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(DAGS / file)], capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["seconds"] < PARSE_SECONDS
    assert not set(HEAVY) & set(measured["modules"])
