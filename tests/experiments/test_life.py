"""An experiment is started, served, and stopped, by a person or because it can't go on."""

from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest

from recommender.config.settings import Settings
from recommender.errors import ArtifactError, ConfigError, NotReadyError, RecommenderError
from recommender.experiments import life
from recommender.storage import registry
from recommender.storage.postgres import READER, connect
from tests.experiments.worlds import (
    CHALLENGER,
    CHAMPION,
    NIGHT,
    USERS,
    after,
    ask,
    by_arm,
    publication,
    register,
    start,
)


def served(settings: Settings, user: str) -> str:
    """Whose list a user is shown."""
    return str(ask(settings, "select item_id from reco.recommend(%s, 1)", [user])[0][0]).partition("-")[0]


def test_it_is_against_todays_champion_from_the_next_publication_on(world: Settings) -> None:
    experiment = start(world, share=0.25)
    assert (experiment.champion, experiment.challenger) == (CHAMPION, CHALLENGER)
    assert (experiment.salt, experiment.status, experiment.started_ds) == ("ials", "running", NIGHT)
    assert (experiment.exposure, experiment.k, experiment.stopped_ds) == ("assigned", 20, None)
    assert {served(world, user) for user in USERS} == {"champion"}, "what is live was ranked before"
    publication(world, after(1), experiment)
    for variant, users in by_arm(experiment).items():
        assert {served(world, user) for user in users} == {variant}


def test_stopping_takes_effect_at_once(world: Settings) -> None:
    experiment = start(world)
    publication(world, after(1), experiment)
    with connect(world) as connection:
        life.stop(connection, experiment.experiment_id, "enough")
        life.stop(connection, experiment.experiment_id, "once more")
        stopped = life.known(connection, "ials")
        assert life.running(connection) is None
    assert (stopped.status, stopped.reason, stopped.stopped_ds) == ("stopped", "enough", after(1))
    assert stopped.stopped_at is not None
    assert {served(world, user) for user in USERS} == {"champion"}


def damage(settings: Settings) -> None:
    (settings.artifacts / CHALLENGER / "weights").write_text("others")


def remove(settings: Settings) -> None:
    ask(settings, "update reco.models set artifact = '/nowhere' where model_version = %s returning 1", [CHALLENGER])


def run_another(settings: Settings) -> None:
    start(settings, "other")


def run_before(settings: Settings) -> None:
    another = start(settings, "ials")
    with connect(settings) as connection:
        life.stop(connection, another.experiment_id, "")


def publish_nothing(settings: Settings) -> None:
    ask(settings, "update reco.publications set status = 'retired' returning 1")


@pytest.mark.parametrize(
    ("before", "error", "message"),
    [
        (damage, ArtifactError, "weights is missing or corrupt: train the night again"),
        (remove, ArtifactError, "artifact /nowhere is missing or incomplete"),
        (run_another, NotReadyError, "experiment other runs: `recommender experiment stop other` stops it"),
        (run_before, ConfigError, "an experiment 'ials' was run before: choose another name"),
        (publish_nothing, NotReadyError, "nothing is published that an experiment could run beside: run a night first"),
    ],
)
def test_a_world_that_is_not_ready_starts_nothing(
    world: Settings, before: Callable[[Settings], None], error: type[RecommenderError], message: str
) -> None:
    before(world)
    count = ask(world, "select count(*) from reco.experiments")
    with connect(world) as connection, pytest.raises(error, match=message) as raised:
        life.start(connection, "ials", CHALLENGER, 0.5)
    assert "\n" not in str(raised.value)
    assert ask(world, "select count(*) from reco.experiments") == count


def test_what_makes_no_experiment_is_refused(world: Settings) -> None:
    for name, challenger, share, message in (
        ("ials", "ials-2026-03-02", 0.5, f"no model is called 'ials-2026-03-02': did you mean {CHALLENGER}"),
        ("ials", CHAMPION, 0.5, f"{CHAMPION} is the champion: choose another model"),
        ("ials", CHALLENGER, 0.0, "--share 0 leaves an arm empty: it must be above 0 and below 1"),
        ("ials", CHALLENGER, 1.0, "--share 1 leaves an arm empty"),
        ("ials", CHALLENGER, float("nan"), "--share nan leaves an arm empty"),
        (" ", CHALLENGER, 0.5, "an experiment needs a name"),
    ):
        with connect(world) as connection, pytest.raises(ConfigError, match=message):
            life.start(connection, name, challenger, share)
    assert ask(world, "select count(*) from reco.experiments") == [(0,)]


def test_a_publication_is_told_what_to_serve(world: Settings) -> None:
    with connect(world) as connection:
        assert life.current(connection, CHAMPION, after(1)) is None
    experiment = start(world)
    with connect(world) as connection:
        assert life.current(connection, CHAMPION, after(1)) == experiment
        assert life.current(connection, CHAMPION, NIGHT) == experiment, "the live night may be published again"
        assert life.current(connection, "another", after(-1)) is None, "an older night knows nothing of it"
        assert life.running(connection) == experiment


@pytest.mark.parametrize(
    ("champion", "reason"),
    [
        ("als-2026-03-02", f"the champion changed: als-2026-03-02 is champion now, in place of {CHAMPION}"),
        (CHALLENGER, f"the champion changed: its challenger is champion now, in place of {CHAMPION}"),
    ],
)
def test_another_champion_ends_it(world: Settings, champion: str, reason: str) -> None:
    start(world)
    said: list[str] = []
    with connect(world) as connection:
        assert life.current(connection, champion, after(3), said.append) is None
        stopped = life.known(connection, "ials")
    assert (stopped.status, stopped.reason, stopped.stopped_ds) == ("stopped", reason, after(3))
    assert said == [f"experiment ials stopped: {reason}"]


def test_days_that_count(world: Settings) -> None:
    experiment = start(world)
    with connect(world) as connection:
        assert life.counting(connection, NIGHT) == [], "its lists were not there yet"
        assert life.counting(connection, after(9)) == [experiment]
        life.stop(connection, experiment.experiment_id, "", after(3))
        stopped = replace(
            experiment,
            status="stopped",
            reason="",
            stopped_ds=after(3),
            stopped_at=life.known(connection, "ials").stopped_at,
        )
        assert life.counting(connection, after(3)) == [stopped]
        assert life.counting(connection, after(4)) == []


def test_experiments_follow_each_other(world: Settings) -> None:
    first = start(world, "first")
    with connect(world) as connection:
        life.stop(connection, first.experiment_id, "")
    second = start(world, "second")
    with connect(world) as connection:
        assert [one.name for one in life.history(connection)] == ["second", "first"]
        assert life.known(connection, "second") == second
        with pytest.raises(
            ConfigError, match="no experiment is called 'third': `recommender experiment list` lists them"
        ):
            life.known(connection, "third")
    assert first.arm(USERS).tolist() != second.arm(USERS).tolist()


def test_the_challenger_serves_by_its_refitted_artifact(world: Settings) -> None:
    """Where it was refitted, that is what must be whole."""
    register(world, "refitted")
    with connect(world) as connection:
        registry.record_refit(connection, CHALLENGER, world.artifacts / "refitted", "0")
    with connect(world) as connection, pytest.raises(ArtifactError, match="does not match the registered checksum"):
        life.start(connection, "ials", CHALLENGER, 0.5)


def test_applications_report_exposures(world: Settings) -> None:
    report = "select reco.record_exposure(%s, %s)"
    ask(world, report, [USERS[0], "2026-03-02 00:30+00"])
    experiment = start(world, exposure="reported")
    ask(world, report, [USERS[0], "2026-03-02 01:00+00"])
    assert ask(world, "select * from reco.exposures") == [], "its lists are not live yet"
    publication(world, after(1), experiment)
    for user, when in ((USERS[0], "10:00"), (USERS[0], "11:00"), (USERS[1], "12:00"), ("a stranger", "13:00")):
        ask(world, report, [user, f"2026-03-03 {when}+00"])
    variants = {user: variant for variant, users in by_arm(experiment).items() for user in users}
    assert ask(
        world,
        "select user_id, first_at at time zone 'UTC' = %s, variant from reco.exposures order by 1",
        ["2026-03-03 10:00"],
    ) == [(USERS[0], True, variants[USERS[0]]), (USERS[1], False, variants[USERS[1]])]
    with connect(world) as connection:
        life.stop(connection, experiment.experiment_id, "")
    ask(world, "select reco.record_exposure(%s)", [USERS[2]])
    assert ask(world, "select count(*) from reco.exposures") == [(2,)]


def test_nobody_reports_exposures_where_everybody_is_exposed(world: Settings) -> None:
    publication(world, after(1), start(world))
    ask(world, "select reco.record_exposure(%s)", [USERS[0]])
    assert ask(world, "select * from reco.exposures") == []


def test_exposures_are_reported_by_whom_it_was_granted_to(world: Settings) -> None:
    publication(world, after(1), start(world, exposure="reported"))
    with connect(world, READER, autocommit=True) as connection:
        for refused in (
            "select reco.record_exposure('user-1')",
            "select * from reco.exposures",
            "select * from reco.outcomes",
            "select * from reco.experiment_results",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(refused)
    with connect(world) as connection:
        connection.execute("grant execute on function reco.record_exposure(text, timestamptz) to reco_reader")
    with connect(world, READER, autocommit=True) as connection:
        connection.execute("select reco.record_exposure('user-1')")
    assert ask(world, "select user_id from reco.exposures") == [("user-1",)]
