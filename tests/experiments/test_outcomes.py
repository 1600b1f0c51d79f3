"""What users did is joined with what they were shown, day by day, and the arms are compared."""

from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from recommender.config.settings import Settings
from recommender.errors import NotReadyError
from recommender.experiments import life
from recommender.experiments.life import Experiment
from recommender.experiments.outcomes import Measured, forget, measure
from recommender.experiments.results import Result, results
from recommender.storage.postgres import connect
from tests.experiments.worlds import USERS, after, ask, at, by_arm, happened, items, publication, start

OUTCOMES = "select ds, user_id, variant, events, hits, weight from reco.outcomes order by 1, 2"


def run(settings: Settings, day: int) -> Measured:
    with connect(settings, autocommit=True) as connection:
        return measure(settings, after(day), connection)


def figures(settings: Settings, experiment: Experiment, day: int | None = None) -> dict[str, Result]:
    with connect(settings) as connection:
        found = results(connection, experiment, None if day is None else after(day))
    return {result.metric: result for result in found}


def everything(settings: Settings) -> list[list[tuple[Any, ...]]]:
    return [
        ask(settings, f"select * from reco.{table} order by 1, 2, 3")
        for table in ("exposures", "outcomes", "experiment_results")
    ]


@pytest.fixture
def experiment(world: Settings) -> Experiment:
    """It runs, and its first lists are live on the second day after."""
    found = start(world)
    publication(world, after(1), found)
    return found


@pytest.fixture
def people(experiment: Experiment) -> tuple[str, str]:
    """One user of either arm."""
    arms = by_arm(experiment)
    return arms["challenger"][0], arms["champion"][0]


def test_events_on_the_served_list_are_hits(world: Settings, experiment: Experiment, people: tuple[str, str]) -> None:
    challenged, other = people
    day = after(2)
    happened(world, day, [
        (challenged, "challenger-0", at(day, 0)), (challenged, "challenger-19", at(day, 23)),
        (challenged, "challenger-20", at(day)), (challenged, "champion-0", at(day)),
        (other, "champion-3", at(day)), (other, "champion-3", at(day, 13)), (other, "challenger-0", at(day)),
        ("a stranger", "popular-0", at(day)),
        (other, "champion-4", at(after(1), 23)), (other, "champion-4", at(after(3), 0)),
    ])  # fmt: skip
    done = run(world, 2)
    assert done.rows == 2
    expected = [
        (day, challenged, "challenger", 4, 2, 8.0),
        (day, other, "champion", 3, 2, 6.0),
    ]
    assert ask(world, OUTCOMES) == sorted(expected)
    arms = by_arm(experiment)
    hits = figures(world, experiment)["hits"]
    assert (hits.challenger_users, hits.champion_users) == (len(arms["challenger"]), len(arms["champion"]))
    assert hits.challenger_mean == pytest.approx(2 / len(arms["challenger"]))
    assert f"{hits.challenger_mean:.4f} hits a user against {hits.champion_mean:.4f} of the champion" in done.summary
    conversion = figures(world, experiment)["conversion"]
    assert conversion.champion_mean == pytest.approx(1 / len(arms["champion"]))
    assert figures(world, experiment)["events"].challenger_mean == pytest.approx(4 / len(arms["challenger"]))


def test_running_again_leaves_the_same_and_takes_in_what_came_late(
    world: Settings, experiment: Experiment, people: tuple[str, str]
) -> None:
    for day in (2, 3):
        publication(world, after(day), experiment)
        happened(world, after(day), [(people[0], "challenger-1", at(after(day)))])
        run(world, day)
    before = everything(world)
    for day in (2, 3):
        run(world, day)
        assert everything(world) == before
    late, gone = (people[1], "champion-1", at(after(2))), (people[0], "challenger-1", at(after(2)))
    publication(world, after(4), experiment)
    happened(world, after(4), [late], removed=[gone])
    run(world, 2)
    assert ask(world, OUTCOMES) == [
        (after(2), people[1], "champion", 1, 1, 2.0),
        (after(3), people[0], "challenger", 1, 1, 2.0),
    ]
    again = figures(world, experiment, day=3)["hits"]
    assert again.champion_mean > 0 == everything_hit(before, "champion")
    assert figures(world, experiment, day=2)["hits"].challenger_mean == 0


def everything_hit(tables: list[list[tuple[Any, ...]]], variant: str) -> int:
    return sum(row[5] for row in tables[1] if row[3] == variant)


def test_days_add_up(world: Settings, experiment: Experiment, people: tuple[str, str]) -> None:
    for day in (2, 3, 4):
        happened(world, after(day), [(people[0], "challenger-1", at(after(day)))])
        run(world, day)
        publication(world, after(day), experiment)
    users = len(by_arm(experiment)["challenger"])
    for day, hits in ((2, 1), (3, 2), (4, 3)):
        found = figures(world, experiment, day)
        assert found["hits"].challenger_mean == pytest.approx(hits / users)
        assert found["conversion"].challenger_mean == pytest.approx(1 / users)


def test_before_its_lists_are_live_and_after_its_last_day_nothing_counts(world: Settings) -> None:
    happened(world, after(1), [(USERS[0], "champion-1", at(after(1)))])
    assert run(world, 1).summary == f"no experiment counts on {after(1)}"
    found = start(world)
    assert run(world, 1).summary == f"experiment ials: its lists were not live on {after(1)}"
    publication(world, after(1), found)
    happened(world, after(2), [(USERS[0], "champion-1", at(after(2)))])
    run(world, 2)
    with connect(world) as connection:
        life.stop(connection, found.experiment_id, "", after(2))
    publication(world, after(2))
    happened(world, after(3), [(USERS[0], "champion-1", at(after(3)))])
    assert run(world, 3).summary == f"no experiment counts on {after(3)}"
    run(world, 2)
    assert [row[0] for row in ask(world, OUTCOMES)] == [after(2)]


def test_a_night_that_is_not_ingested_is_refused(world: Settings, experiment: Experiment) -> None:
    with pytest.raises(
        NotReadyError, match=f"has no night {after(2)} yet: run `recommender run ingest --ds {after(2)}`"
    ):
        run(world, 2)


def test_newcomers_are_exposed_from_their_first_list_on(world: Settings, experiment: Experiment) -> None:
    events = [("newcomer", "champion-1", at(after(day))) for day in (2, 3)]
    happened(world, after(2), events[:1])
    run(world, 2)
    publication(world, after(2), experiment, users=[*USERS, "newcomer"])
    happened(world, after(3), events[1:])
    run(world, 3)
    run(world, 2)
    assert [row[:2] for row in ask(world, OUTCOMES)] == [(after(3), "newcomer")]
    users = [figures(world, experiment, day)["hits"] for day in (2, 3)]
    assert [one.champion_users + one.challenger_users for one in users] == [len(USERS), len(USERS) + 1]


def test_who_has_no_list_any_more_was_served_what_is_popular(
    world: Settings, experiment: Experiment, people: tuple[str, str]
) -> None:
    happened(world, after(2), [])
    run(world, 2)
    publication(world, after(2), experiment, users=[user for user in USERS if user not in people])
    happened(world, after(3), [(user, "popular-2", at(after(3))) for user in people])
    run(world, 3)
    assert [(row[1], row[4]) for row in ask(world, OUTCOMES)] == sorted((user, 1) for user in people)


def test_reported_exposures_count_from_their_instant(world: Settings) -> None:
    experiment = start(world, exposure="reported")
    publication(world, after(1), experiment)
    ask(world, "select reco.record_exposure(%s, %s)", [USERS[0], "2026-03-03 10:00+00"])
    happened(world, after(2), [(user, item, at(after(2), hour)) for user, item, hour in (
        (USERS[0], "champion-1", 9), (USERS[0], "champion-1", 10), (USERS[0], "else", 11), (USERS[1], "champion-1", 12),
    )])  # fmt: skip
    run(world, 2)
    (row,) = ask(world, OUTCOMES)
    assert (row[1], row[3]) == (USERS[0], 2)
    found = figures(world, experiment)["events"]
    assert found.champion_users + found.challenger_users == 1


def test_nights_further_apart_are_measured_together(
    world: Settings, experiment: Experiment, people: tuple[str, str]
) -> None:
    happened(world, after(4), [(people[0], "challenger-1", at(after(day))) for day in (1, 2, 3, 4)])
    assert run(world, 4).rows == 3
    assert [row[0] for row in ask(world, OUTCOMES)] == [after(2), after(3), after(4)]


def test_lists_that_are_gone_leave_hits_unknown(
    world: Settings, experiment: Experiment, people: tuple[str, str]
) -> None:
    for day in (2, 3):
        publication(world, after(day), experiment)
        happened(world, after(day), [(people[0], "challenger-1", at(after(day)))])
    run(world, 3)  # everybody is exposed from then on
    ask(world, "update reco.exposures set first_at = first_at - interval '1 day' returning 1")
    ask(world, "update reco.publications set status = 'failed' where ds < %s returning 1", [after(2)])
    run(world, 2)
    assert [row[:1] + row[3:5] for row in ask(world, OUTCOMES)] == [(after(2), 1, None), (after(3), 1, 1)]
    found = figures(world, experiment, day=3)["hits"]
    assert found.detail == "the lists of 1 day were gone: hits of then are not counted"
    ask(world, "update reco.publications set status = 'failed' where ds < %s returning 1", [after(3)])
    before = everything(world)
    assert run(world, 3).summary == f"experiment ials: the lists of {after(3)} are gone, its outcomes stay as they are"
    assert everything(world) == before


def test_erased_users_leave_every_experiment(world: Settings, experiment: Experiment, people: tuple[str, str]) -> None:
    happened(world, after(2), [(people[0], "challenger-1", at(after(2)))])
    run(world, 2)
    with connect(world) as connection:
        assert forget(connection, [*people, "a stranger"]) == Counter({people[0]: 2, people[1]: 1})
    left = {user for table in ("exposures", "outcomes") for (user,) in ask(world, f"select user_id from reco.{table}")}
    assert left == set(USERS) - set(people)


def lived(
    settings: Settings, experiment: Experiment, users: list[str], gain: float, days: int, rng: np.random.Generator
) -> None:
    """Days on which users meet something on their list at a rate of .1, those of the challenger `gain` more often."""
    chosen = experiment.arm(users)
    for day in range(2, 2 + days):
        met = rng.random(len(users)) < 0.1 * np.where(chosen, 1 + gain, 1)
        happened(settings, after(day), [
            (user, f"{'challenger' if taken else 'champion'}-{day}", at(after(day)))
            for user, taken, meets in zip(users, chosen, met, strict=True) if meets
        ])  # fmt: skip
        run(settings, day)
        publication(settings, after(day), experiment, users)


@pytest.mark.parametrize(("gain", "low", "high"), [(0.5, 0, 9), (-0.5, -9, 0)])
def test_a_planted_effect_is_found(world: Settings, gain: float, low: float, high: float) -> None:
    users = [f"user-{n}" for n in range(2_000)]
    experiment = start(world)
    publication(world, after(1), experiment, users)
    lived(world, experiment, users, gain, 5, np.random.default_rng(3))
    for found in figures(world, experiment).values():
        assert found.anytime_low is not None
        assert found.anytime_high is not None
        assert low < found.anytime_low < found.anytime_high < high
        assert not found.mismatch
        assert found.anytime_p_value is not None
        assert found.anytime_p_value < 0.05
    hits = figures(world, experiment)["hits"]
    assert hits.low is not None
    assert hits.high is not None
    assert hits.low <= 0.1 * gain * 5 <= hits.high


def test_without_an_effect_none_is_found(world: Settings) -> None:
    """Five nights looked at; the rate over many experiments is simulated in test_intervals."""
    users = [f"user-{n}" for n in range(2_000)]
    experiment = start(world)
    publication(world, after(1), experiment, users)
    lived(world, experiment, users, 0.0, 5, np.random.default_rng(4))
    for day in range(2, 7):
        for found in figures(world, experiment, day).values():
            assert found.anytime_low is not None
            assert found.anytime_high is not None
            assert found.anytime_low < 0 < found.anytime_high


def test_arms_of_the_wrong_size_are_flagged(world: Settings) -> None:
    """A third of the challenger's users never reports that it saw anything."""
    users = [f"user-{n}" for n in range(1_000)]
    experiment = start(world, exposure="reported")
    publication(world, after(1), experiment, users)
    arms = by_arm(experiment, users)
    seen = [*arms["champion"], *arms["challenger"][: len(arms["challenger"]) * 2 // 3]]
    report = "select reco.record_exposure(user_id, %s) from unnest(%s::text[]) as user_id"
    ask(world, report, ["2026-03-03 00:00+00", seen])
    happened(world, after(2), [(user, items("champion")[0], at(after(2))) for user in users])
    done = run(world, 2)
    found = figures(world, experiment)["hits"]
    assert found.mismatch
    assert found.ratio_p_value < 0.001
    taken = len(seen) - len(arms["champion"])
    assert found.detail == (
        f"{taken} of {len(seen)} exposed users are in the challenger's arm, {taken / len(seen):.1%} instead of 50.0%"
    )
    assert "SAMPLE RATIO MISMATCH" in done.summary
    assert found.difference, "the figures are kept"


def test_nothing_happens_without_experiments(world: Settings) -> None:
    assert run(world, 1) == Measured(f"no experiment counts on {after(1)}")
    assert after(2) - after(1) == timedelta(days=1)
