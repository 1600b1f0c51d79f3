"""The command line: answers for people, one line and exit code 2 for what is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from recommender.config.settings import Settings
from tests.e2e.worlds import FIRST, write_profile

CLI = Path(sys.executable).parent / "recommender"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", **variables}
    return subprocess.run([CLI, *arguments], env=environment, capture_output=True, text=True)


def test_look_ups_print_tables(small: Settings) -> None:
    listed = run("recommend", "user-1", "-k", "3")
    assert listed.returncode == 0, listed.stderr
    assert len(listed.stdout.strip().splitlines()) == 4
    assert "personal" in listed.stdout
    assert "popular" in run("recommend", "nobody").stdout
    assert run("similar", "item-1").stdout.count("item-") == 5
    title = run("search", "amber avenue").stdout
    assert "similarity" in title
    status = run("status")
    for word in ("publications", "live", "beats_popularity", "publish"):
        assert word in status.stdout
    url = run("db-url").stdout.strip()
    with psycopg.connect(url) as connection:  # libpq reads the URL just as psql does
        assert connection.execute("select count(*) from reco.recommend('user-1')").fetchone() == (10,)


def test_evaluate_prints_the_figures(small: Settings) -> None:
    evaluated = run("evaluate", "--ds", str(FIRST), "--days", "3")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "recall@20" in evaluated.stdout


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (("nightly", "--ds", "soon"), {}, "ds must be a date like 2014-04-30, not 'soon'"),
        (("nightly", "--ds", "2999-01-01"), {}, "is not over yet"),
        (("run", "cook", "--ds", "2026-03-28"), {}, "no stage named 'cook'; the stages are ingest, features"),
        (("similar", "no-such-item"), {}, "has no item 'no-such-item'"),
        (("search", "qqqqqq"), {}, "nothing like 'qqqqqq'"),
        (("status",), {"RECOMMENDER_PROFILE": "jazz"}, "profile 'jazz' not found"),
        (("status",), {"RECOMMENDER__MODEL__DIMENSION": "wide"}, "model.dimension"),
        (
            ("status",),
            {"RECOMMENDER_DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/none"},
            "cannot reach PostgreSQL at postgresql://me:***@127.0.0.1:1/none",
        ),
        (("evaluate", "--ds", "2026-03-01"), {}, "no publication of 2026-03-01 is kept"),
        (("run", "judge", "--ds", "2026-03-01"), {}, "no model was trained for 2026-03-01"),
    ],
)
def test_what_is_wrong_is_one_line(small: Settings, arguments, variables, message: str) -> None:
    failed = run(*arguments, **variables)
    assert failed.returncode == 2
    assert "Traceback" not in failed.stderr
    assert "secret" not in failed.stderr
    last = failed.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last


def test_a_night_that_fails_exits_2_with_its_reason_last(fresh: Settings, tmp_path: Path) -> None:
    write_profile(tmp_path, "quality: {max_rejected_share: 0.0}\n")
    failed = run("nightly", "--ds", str(FIRST))
    assert failed.returncode == 2
    assert "rejected_share" in failed.stderr.strip().splitlines()[-1]
    assert run("recommend", "user-1").returncode == 2
