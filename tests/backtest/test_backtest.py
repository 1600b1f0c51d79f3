"""Nights that are past, run again: what went live, and what later data says about it."""

import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recommender import pipeline
from recommender.backtest.plan import Plan
from recommender.backtest.records import Backtest, Night
from recommender.backtest.replay import keep, replay
from recommender.backtest.sandbox import Sandbox, sandbox_for
from recommender.cli import app
from recommender.config.settings import Settings, load_settings
from recommender.data.erasures import add_erased
from recommender.errors import ConfigError, DataQualityError, NotReadyError
from recommender.storage import embedded
from recommender.storage.lake import Lake
from recommender.storage.postgres import connect
from tests.backtest.worlds import BEGIN, EARLY, END, EVERY, FIRST, LATE, SECOND, write_world

PLAN = Plan(FIRST, SECOND, EVERY, days=3)
NOWHERE = "postgresql://me:secret@127.0.0.1:1/none"
ERASED = "early-0"


@dataclass(frozen=True)
class World:
    settings: Settings
    folder: Path

    def sandbox(self, policy: str, name: str | None = None, plan: Plan = PLAN) -> Sandbox:
        return sandbox_for(self.settings, plan, self.folder / f"{policy}.yaml", name)

    def files(self) -> dict[str, bytes]:
        """Everything in the home but the backtests."""
        paths = (path for path in self.settings.home.rglob("*") if path.is_file() and "backtests" not in path.parts)
        return {str(path): path.read_bytes() for path in paths}


def make_world(folder: Path, **written: object) -> World:
    """Whose live database can't be reached, and in whose home a user was erased."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RECOMMENDER_HOME", str(folder / "home"))
        patch.setenv("RECOMMENDER_DATABASE_URL", NOWHERE)
        settings = load_settings(str(write_world(folder, **written)), folder)
    add_erased(settings, [ERASED])
    return World(settings, folder)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("turning"))


@pytest.fixture(scope="module")
def fresh(world: World) -> Backtest:
    """A policy that lets ties and better ones live."""
    before = world.files()
    sandbox = world.sandbox("fresh", "fresh")
    found, _ = keep(sandbox, PLAN, list(replay(sandbox, PLAN)))
    assert world.files() == before
    return found


def test_what_is_better_later_was_rightly_promoted(fresh: Backtest) -> None:
    first, second = fresh.nights
    assert (first.champion, first.live, first.decision) == (None, first.challenger, "promote")
    assert (second.champion, second.live, second.decision) == (first.challenger, second.challenger, "promote")
    for night in fresh.nights:
        assert night.judged is not None and night.later is not None
        # everything that is left of a user's twenty items is in a list of twenty
        assert night.judged.recall["challenger"].value == night.later.recall["challenger"].value == 1
        assert night.later.recall["serving"].value == 1
        assert night.later.recall["champion"].high < 0.5
        assert night.later.until == night.ds + timedelta(days=3)
        assert (night.outcome, night.regret) == ("right", 0)
    assert (first.later.users, second.later.users) == (EARLY - 1, LATE)  # one of the early users was erased
    assert fresh.summary.share_right == 1
    assert fresh.summary.recall["policy"] == fresh.summary.recall["always"] == 1
    old = second.later.recall["first"].value
    assert fresh.summary.recall["never"] == pytest.approx((1 + old) / 2)


def test_what_is_kept_is_what_was_found(world: World, fresh: Backtest) -> None:
    folder = world.sandbox("fresh", "fresh").folder
    assert folder == world.settings.world / "backtests" / "fresh"
    assert Backtest.read(folder) == fresh
    assert json.loads((folder / "backtest.json").read_text())["summary"]["right"] == 2
    page = (folder / "backtest.html").read_text()
    assert "2 of 2 challengers would have gone live; where later data decide, 2 of 2 decisions were right" in page
    assert not any(word in page for word in ("http", "early-", ">late-", "item-0"))


def test_what_serves_does_as_the_lists_it_publishes(world: World, fresh: Backtest) -> None:
    sandbox = world.sandbox("fresh", "fresh")
    with sandbox.opened():
        pipeline.publish(sandbox.settings, SECOND)
        figures = pipeline.evaluate(sandbox.settings, SECOND, days=3)
    assert fresh.nights[1].later is not None
    assert figures["recall@20"] == fresh.nights[1].later.recall["serving"].value


def test_erased_users_stay_out(world: World, fresh: Backtest) -> None:
    users = Lake(world.sandbox("fresh", "fresh").settings.lake).read("users", FIRST)["user_id"]
    assert ERASED not in set(users) and len(users) == EARLY - 1


def test_its_server_is_stopped(world: World, fresh: Backtest) -> None:
    assert embedded.running(world.sandbox("fresh", "fresh").settings.postgres) is None


def test_what_was_better_and_not_let_live_is_wrong_and_regretted(world: World) -> None:
    sandbox = world.sandbox("stubborn")
    found, _ = keep(sandbox, PLAN, list(replay(sandbox, PLAN)))
    first, second = found.nights
    assert (second.decision, second.live, second.outcome) == ("ask", first.challenger, "wrong")
    with sandbox.opened(), connect(sandbox.settings) as connection:
        answered = connection.execute("select answer, decided_by from reco.verdicts where decision = 'ask'").fetchall()
    assert answered == [("reject", "deadline")]
    assert second.later is not None
    old = second.later.recall["champion"].value
    assert second.later.recall["first"].value == old < 0.5
    assert second.regret == 1 - old
    summary = found.summary
    assert (summary.promoted, summary.rejected, summary.asked, summary.right, summary.wrong) == (1, 1, 1, 1, 1)
    assert (summary.share_right, summary.regret) == (0.5, second.regret / 2)
    assert summary.recall["policy"] == summary.recall["never"] < summary.recall["always"] == 1


def test_killed_in_the_middle_it_goes_on_and_finds_the_same(
    fresh: Backtest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = make_world(tmp_path, last=END - timedelta(days=1))
    sandbox = cut.sandbox("fresh", "fresh")
    runs: list[object] = []
    ingest = pipeline.ingest

    def counted(settings: Settings, ds: object, progress: object) -> object:
        runs.append(ds)
        return ingest(settings, ds, progress)  # type: ignore[arg-type]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "ingest", counted)
    with monkeypatch.context() as patch:
        begun = replay(sandbox, PLAN)
        next(begun)
        patch.setattr(pipeline, "refit", killed)
        with pytest.raises(KeyboardInterrupt):
            next(begun)
    assert [Night.read(sandbox.folder, ds) is None for ds in PLAN.nights] == [False, True]
    resumed = list(replay(sandbox, PLAN))
    assert runs == [FIRST, SECOND, SECOND]
    assert resumed[0] == fresh.nights[0]
    assert resumed[1].later is not None and resumed[1].later.until == END - timedelta(days=1)
    write_world(tmp_path)
    assert list(replay(sandbox, PLAN)) == fresh.nights  # the day that was missing is there now
    assert runs == [FIRST, SECOND, SECOND]


def test_a_failed_night_is_recorded_and_does_not_end_the_backtest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise DataQualityError("half of the batch is unusable")

    monkeypatch.setattr(pipeline, "ingest", refuses)
    short = Plan(FIRST, FIRST, EVERY, days=3)
    (failed,) = replay(world.sandbox("fresh", "broken", short), short)
    assert failed == Night(FIRST, None, None, why="half of the batch is unusable")


def test_another_backtest_does_not_get_into_the_folder(world: World, fresh: Backtest) -> None:
    with pytest.raises(ConfigError, match="backtest fresh is of another policy: give a --name of its own"):
        next(replay(world.sandbox("stubborn", "fresh"), PLAN))
    other = Plan(FIRST, SECOND, EVERY, days=2)
    with pytest.raises(ConfigError, match="backtest fresh is of another --days"):
        next(replay(world.sandbox("fresh", "fresh", other), other))
    add_to = Plan(FIRST, SECOND + timedelta(days=1), EVERY, days=3)
    assert world.sandbox("fresh", plan=add_to).folder == world.sandbox("fresh").folder
    assert world.sandbox("fresh").folder != world.sandbox("stubborn").folder


def test_two_processes_do_not_run_the_same_one(world: World, fresh: Backtest) -> None:
    with world.sandbox("fresh", "fresh").opened(), pytest.raises(NotReadyError, match="by another process"):
        next(replay(world.sandbox("fresh", "fresh"), PLAN))


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("RECOMMENDER_HOME", str(world.settings.home))
    monkeypatch.setenv("RECOMMENDER_PROFILE", str(world.settings.profile_path))
    monkeypatch.setenv("RECOMMENDER_DATA", str(world.folder))
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner()


def test_the_command_prints_the_nights_and_goes_on(world: World, fresh: Backtest, command: CliRunner) -> None:
    told = command.invoke(
        app,
        ["backtest", "--from", str(FIRST), "--to", str(SECOND), "--every", str(EVERY),
         "--policy", str(world.folder / "fresh.yaml"), "--name", "fresh"],
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert f"✓ {FIRST}  promoted, right" in told.output
    assert "2 promoted, 0 rejected; 2 right, 0 wrong, 0 undecided: 100% of the decided were right" in told.output
    assert str(fresh.nights[1].challenger) in told.output


@pytest.mark.parametrize(
    ("first", "last", "arguments", "message"),
    [
        (SECOND, FIRST, (), f"--to {FIRST} lies before --from {SECOND}"),
        ("2025-06-01", SECOND, (), f"--from 2025-06-01 lies before the data begin: the first event is of {BEGIN}"),
        (BEGIN, SECOND, (), "the earliest is 2026-01-06"),
        (FIRST, END, (), f"nothing later is known to judge the night {END} on: the last event is of {END}"),
        (FIRST, "2999-01-01", (), "is not over yet"),
        (FIRST, "spring", (), "must be a date like"),
        (FIRST, SECOND, ("--policy", "none.yaml"), "none.yaml does not exist"),
        (FIRST, SECOND, ("--name", "../live"), "can't name a folder"),
    ],
)
def test_what_is_wrong_is_one_line(command: CliRunner, first, last, arguments, message: str) -> None:
    failed = command.invoke(app, ["backtest", "--from", str(first), "--to", str(last), "--every", "1", *arguments])
    assert failed.exit_code == 2
    assert message in failed.stderr
    assert failed.stderr.startswith("error: ") and failed.stderr.count("\n") == 1
