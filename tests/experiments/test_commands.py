"""What `recommender experiment` prints and does."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from recommender.cli import app
from recommender.config.settings import Settings
from recommender.experiments.outcomes import measure
from recommender.storage.postgres import connect
from tests.experiments.worlds import CHALLENGER, CHAMPION, NIGHT, after, ask, at, by_arm, happened, publication, start


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["experiment", *arguments])
    return result.exit_code, " ".join(result.output.split())


def printed(*arguments: str) -> str:
    code, text = run(*arguments)
    assert code == 0, text
    return text


def test_the_life_of_an_experiment(world: Settings) -> None:
    assert printed("list") == "no experiment has been started"
    said = printed("start", "ials", "--challenger", CHALLENGER, "--share", "0.25")
    assert (
        "experiment ials runs: from the next publication on, 25.0% of the users get lists of "
        f"{CHALLENGER}, the others of {CHAMPION} `recommender run publish --ds {NIGHT}` begins it now"
    ) in said
    assert "nothing is measured yet" in printed("show", "ials")
    assert f"ials running {NIGHT} – {CHALLENGER} {CHAMPION} 25.0% –" in printed("list")
    code, refused = run("start", "next", "--challenger", CHALLENGER)
    assert (code, refused) == (2, "error: experiment ials runs: `recommender experiment stop ials` stops it")
    ended = f"the summer is over; the last day that counts is {NIGHT}"
    assert f"experiment ials stopped: {ended}" in printed("stop", "ials", "--reason", "the summer is over")
    assert f"experiment ials was stopped already: {ended}" in printed("stop", "ials", "--reason", "again")
    assert f"ials stopped {NIGHT} {NIGHT} {CHALLENGER} {CHAMPION} 25.0% the summer is over" in printed("list")
    (listed,) = json.loads(printed("list", "--json"))
    assert (listed["name"], listed["share"], listed["stopped_ds"]) == ("ials", 0.25, str(NIGHT))


@pytest.mark.parametrize("arguments", [("show", "nothing"), ("stop", "nothing")])
def test_an_unknown_name_is_one_line(world: Settings, arguments: tuple[str, ...]) -> None:
    code, text = run(*arguments)
    assert (code, text) == (2, "error: no experiment is called 'nothing': `recommender experiment list` lists them")


def measured(settings: Settings, *, without: float = 0.0) -> None:
    """One day on which the challenger's users all meet something, of the champion's every other; some not exposed."""
    users = [f"user-{n}" for n in range(400)]
    experiment = start(settings, exposure="reported")
    publication(settings, after(1), experiment, users)
    arms = by_arm(experiment, users)
    seen = [*arms["champion"], *arms["challenger"][round(without * len(arms["challenger"])) :]]
    report = "select reco.record_exposure(user_id, %s) from unnest(%s::text[]) as user_id"
    ask(settings, report, ["2026-03-03 00:00+00", seen])
    met = [(user, "challenger-1") for user in arms["challenger"]] + [
        (user, "champion-1") for user in arms["champion"][::2]
    ]
    happened(settings, after(2), [(user, item, at(after(2))) for user, item in met])
    with connect(settings, autocommit=True) as connection:
        measure(settings, after(2), connection)


def test_results_as_a_table_and_as_json(world: Settings) -> None:
    measured(world)
    text = printed("show", "ials")
    assert "experiment ials runs" in text
    assert "counted is whom the application reports" in text
    found = {result["metric"]: result for result in json.loads(printed("show", "ials", "--json"))["results"]}
    hits = found["hits"]
    assert np.isclose(hits["challenger_mean"], 1)
    means = f"1.0000 {hits['champion_mean']:.4f} {hits['difference']:+.4f}"
    anytime = f"{hits['anytime_low']:+.4f} … {hits['anytime_high']:+.4f}"
    assert f"hits a user {means} {anytime} {hits['low']:+.4f} … {hits['high']:+.4f} challenger higher" in text
    assert "a hit is an event on one of the first 20 items of the list" in text
    assert "TRUSTED" not in text


def test_a_mismatch_is_said_before_anything_is_believed(world: Settings) -> None:
    measured(world, without=0.5)
    text = printed("show", "ials")
    assert "THESE FIGURES CAN'T BE TRUSTED: " in text
    assert "instead of 50.0%, which chance does once in" in text
    assert text.count("not trusted") == 3
    assert "challenger higher" not in text
