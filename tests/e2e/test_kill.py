"""SIGKILL in every stage, then the same command again: the end is as if nothing had happened."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from recommender import pipeline
from recommender.config.settings import Settings
from recommender.storage.postgres import connect
from tests.e2e.worlds import FIRST

KILLED_AT = (
    ("ingest", "reading events"),
    ("ingest", "checking"),
    ("ingest", "landing"),
    ("features", "item_features"),
    ("train", "epoch 2"),
    ("judge", "judging on"),
    ("refit", "refitting on"),
    ("publish", "loading publication"),
)
"""The stages in their order, and the progress line during whose work each is killed."""


def lists(settings: Settings) -> list[tuple[Any, ...]]:
    with connect(settings) as connection:
        return connection.execute(
            """select user_id, source, item_ids, scores from reco.recommendation_lists
               join reco.publications using (publication_id)
               where ds = %s and status in ('live', 'retired') order by 1""",
            [FIRST],
        ).fetchall()


def command(stage: str) -> list[str]:
    return [str(Path(sys.executable).parent / "recommender"), "run", stage, "--ds", str(FIRST)]


def killed(stage: str, at: str, environment: dict[str, str]) -> bool:
    """Start a stage and kill it when it says the stage's line; False when it ended before."""
    with subprocess.Popen(command(stage), env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if at in line:
                process.kill()
                return process.wait() == -9
        return False


@pytest.mark.timeout(600)
def test_a_night_killed_in_every_stage_ends_as_an_undisturbed_one(
    small: Settings, fresh: Settings, environment: dict[str, str]
) -> None:
    environment = environment | fresh.environment()
    died = []
    for stage in pipeline.STAGES:
        died += [stage for name, at in KILLED_AT if name == stage and killed(stage, at, environment)]
        again = subprocess.run(command(stage), env=environment, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr[-2000:]
        assert (stage == "train") == ("going on after epoch" in again.stderr), "training goes on, the rest begins again"
    assert set(died) >= set(pipeline.STAGES) - {"publish"}  # a small load may be over before the signal arrives
    assert lists(fresh) == lists(small)
    with connect(fresh) as connection:
        assert connection.execute("select status, count(*) from reco.publications group by 1").fetchall() == [
            ("live", 1)
        ]
