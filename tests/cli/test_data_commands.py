"""`recommender init` and `recommender check`: what people read, what machines read, and that nothing is written."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from recommender.cli import app
from tests.data.shop import PROFILE, write_shop

READY = PROFILE + (
    "quality: {max_rejected_share: 1.0}\nevaluation: {holdout_days: 1}\ntraining: {validation_days: 1}\n"
    "schedule: {start_date: 2020-01-03}\n"
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "120"})


def files_below(folder: Path) -> dict[Path, tuple[int, float]]:
    return {path: (path.stat().st_size, path.stat().st_mtime) for path in folder.rglob("*")}


@pytest.fixture
def shop(home: Path, tmp_path: Path) -> Path:
    return write_shop(tmp_path / "shop", profile=READY).data


def test_check_prints_everything_and_the_next_command(shop: Path, tmp_path: Path) -> None:
    result = run("check", "--profile", shop / "shop.yaml", "--data", shop)
    assert result.exit_code == 0, result.output
    for piece in (
        "users.csv", "1 duplicate user_id", "1 out of range", "oak 2, lux 1", "personal: not shown",
        "5 by 2 users on 3 items", "2020-01-01 10:00 to 2020-01-03 00:00 UTC", "density", "Gini", "split of 2020-01-03",
        "events a day, up to 3", "what to change or look at", "such as rug",
    ):  # fmt: skip
        assert piece in result.output, result.output
    last = result.output.strip().splitlines()[-1]
    assert last == f"ready: recommender nightly --ds 2020-01-03 --profile {shop / 'shop.yaml'} --data {shop}"
    assert "▃█▃" in result.output
    for name in ("ann", "bob", "eve", "FR"):
        assert f" {name} " not in result.output


def test_check_writes_nothing(shop: Path, home: Path, tmp_path: Path) -> None:
    before = files_below(tmp_path)
    assert run("check", "--profile", shop / "shop.yaml", "--data", shop).exit_code == 0
    assert files_below(tmp_path) == before
    assert not home.exists()


def test_json_is_for_machines(shop: Path) -> None:
    result = run("check", "--profile", shop / "shop.yaml", "--data", shop, "--ds", "2020-01-03", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["ready"], report["ds"], report["problems"]) == (True, "2020-01-03", [])
    assert [table["table"] for table in report["tables"]] == ["users", "items", "events"]
    assert report["events"]["per_day"][0] == ["2020-01-01", 1]


def test_not_ready_exits_2_and_counts_the_problems(shop: Path) -> None:
    (shop / "shop.yaml").write_text(READY.replace("maker", "makers").replace("days_since_first_event, ", "colour, "))
    result = run("check", "--profile", shop / "shop.yaml", "--data", shop)
    assert result.exit_code == 2
    assert "has no column 'makers'" in result.output
    assert "no feature named 'colour'" in result.output
    assert result.output.strip().endswith("not ready: 2 problems")
    machine = run("check", "--profile", shop / "shop.yaml", "--data", shop, "--json")
    assert machine.exit_code == 2
    assert len(json.loads(machine.stdout)["problems"]) == 2


def test_init_drafts_a_profile_that_check_accepts(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "my data"
    data.mkdir()
    rows = [f"u{n % 20},t{n * 7 % 30},2023-{n % 12 + 1:02d}-{n % 28 + 1:02d}" for n in range(400)]
    (data / "plays.csv").write_text("\n".join(["user,track,day_date", *rows]) + "\n")
    output = tmp_path / "profile.yaml"
    result = run("init", data, "--output", output, "--name", "mine")
    assert result.exit_code == 0, result.output
    assert "plays.csv" in result.output
    last = result.output.strip().splitlines()[-1]
    assert last.endswith(f"recommender check --profile {output} --data '{data}'")
    assert run("check", "--profile", output, "--data", data).exit_code == 0
    assert not home.exists()


def test_init_never_overwrites_unasked(home: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "plays.csv").write_text("user,track,ts\n" + "a,x,2023-01-01\nb,x,2023-01-09\n" * 9)
    output = tmp_path / "profile.yaml"
    output.write_text("mine")
    refused = run("init", tmp_path / "data", "--output", output)
    assert refused.exit_code == 2
    assert "exists: give another --output, or --force to replace it" in refused.output
    assert output.read_text() == "mine"
    assert run("init", tmp_path / "data", "--output", output, "--force").exit_code == 0
    assert "path: plays.csv" in output.read_text()


def test_init_without_events_is_one_line(home: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "likes.csv").write_text("user,track\na,x\nb,y\n")
    failed = run("init", tmp_path / "data", "--output", tmp_path / "profile.yaml")
    assert failed.exit_code == 2
    assert failed.output.strip().splitlines()[-1].startswith("error: no events in")
    assert "likes.csv has user, track: no time" in failed.output
    assert not (tmp_path / "profile.yaml").exists()
