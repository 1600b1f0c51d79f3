"""Verdicts in PostgreSQL: what the gate decides and asks, who answers, and who is champion afterwards."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.config import Config

from recommender.config.policy import load_policy
from recommender.config.settings import Settings, load_settings
from recommender.errors import ConfigError, DatabaseError, NotReadyError
from recommender.evaluation.findings import RuleResult
from recommender.storage import postgres, registry, verdicts
from recommender.storage.postgres import READER, connect

NIGHT = date(2026, 3, 2)
BEFORE, AFTER = NIGHT - timedelta(days=1), NIGHT + timedelta(days=1)
POLICY = load_policy(None)
RULES = [
    RuleResult("recall_keeps_up", 1.02, 0.98, True, "ratio 1.020", "reject", "fresh data is worth a tie"),
    RuleResult("drift", 0.7, 0.5, False, "drift_share 0.7", "ask", "look at the data"),
]


@pytest.fixture
def world(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    return load_settings("synthetic")


@pytest.fixture
def connection(world: Settings) -> Iterator[psycopg.Connection]:
    with connect(world, autocommit=True) as connection:
        yield connection


def judged(connection: psycopg.Connection, ds: date, decision: registry.Decision, name: str = "ease") -> str:
    """A candidate of the night, and what the gate decided on it."""
    version = f"{name}-{ds}"
    registry.register(connection, version, "ease", ds, Path("nowhere"), "0", {}, {"fit": 1})
    registry.record_verdict(
        connection, version, decision, {"judged": {}}, RULES, policy=POLICY, summary=f"{version}: {decision}"
    )
    return version


def statuses(connection: psycopg.Connection) -> dict[str, str]:
    return dict(connection.execute("select model_version, status from reco.models").fetchall())


def rows(connection: psycopg.Connection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("decision", "status", "outcome"),
    [
        ("promote", "champion", ("policy", "promote")),
        ("reject", "rejected", ("policy", "reject")),
        ("ask", "candidate", (None, None)),
    ],
)
def test_a_verdict_and_all_it_rests_on_are_stored(
    connection: psycopg.Connection, decision: registry.Decision, status: str, outcome: tuple[str | None, str | None]
) -> None:
    old = judged(connection, BEFORE, "promote")
    version = judged(connection, NIGHT, decision)
    assert statuses(connection) == {old: "retired" if decision == "promote" else "champion", version: status}
    found = verdicts.of(connection, version)
    assert found is not None
    assert (found.ds, found.decision, found.headline) == (NIGHT, decision, f"{version}: {decision}")
    assert (found.decided_by, found.answer) == outcome
    assert (found.policy, found.policy_version) == (POLICY.model_dump(mode="json"), POLICY.version)
    assert verdicts.last(connection) == found
    assert [(rule.rule, rule.otherwise, rule.why) for rule in verdicts.rules(connection, version)] == [
        ("drift", "ask", "look at the data"),
        ("recall_keeps_up", "reject", "fresh data is worth a tie"),
    ]
    model = registry.known(connection, version)
    assert model.metrics == {"fit": 1, "judged": {}}
    times = rows(connection, "select judged_at is null, answered_at is null from reco.verdicts order by ds")
    assert times == [(False, False), (False, decision == "ask")]


def test_the_contract_of_the_rules_table_keeps_its_columns(connection: psycopg.Connection) -> None:
    judged(connection, NIGHT, "reject")
    columns = [column.name for column in connection.execute("select * from reco.gate_results").description or []]
    assert columns == ["model_version", "rule", "value", "threshold", "passed", "detail", "otherwise", "why"]


@pytest.mark.parametrize("by", ["person", "deadline"])
@pytest.mark.parametrize("promote", [True, False])
def test_an_answer_settles_the_question(connection: psycopg.Connection, promote: bool, by: Any) -> None:
    old, version = judged(connection, BEFORE, "promote"), judged(connection, NIGHT, "ask")
    assert [asked.model_version for asked in verdicts.questions(connection)] == [version]
    assert verdicts.answer(connection, version, promote, by)
    expected = {old: "retired", version: "champion"} if promote else {old: "champion", version: "rejected"}
    assert statuses(connection) == expected
    assert verdicts.questions(connection) == []
    found = verdicts.of(connection, version)
    assert found is not None
    assert (found.decision, found.answer, found.decided_by) == ("ask", "promote" if promote else "reject", by)
    assert rows(connection, "select answered_at >= judged_at from reco.verdicts where decision = 'ask'") == [(True,)]


def test_the_same_answer_twice_is_one_and_another_one_is_refused(connection: psycopg.Connection) -> None:
    version = judged(connection, NIGHT, "ask")
    assert verdicts.answer(connection, version, False, "person")
    before = rows(connection, "select * from reco.verdicts")
    assert not verdicts.answer(connection, version, False, "person")
    assert not verdicts.answer(connection, version, True, "deadline"), "nobody's deadline overrules a person"
    with pytest.raises(NotReadyError, match=f"^{version} was answered before: reject, by the person; that is final$"):
        verdicts.answer(connection, version, True, "person")
    assert rows(connection, "select * from reco.verdicts") == before
    assert statuses(connection) == {version: "rejected"}


def test_what_was_not_asked_cannot_be_answered(connection: psycopg.Connection) -> None:
    rejected = judged(connection, NIGHT, "reject")
    registry.register(connection, "new", "ease", NIGHT, Path("nowhere"), "0", {}, {})
    with pytest.raises(NotReadyError, match=f"^nobody was asked about {rejected}: the policy's verdict is reject$"):
        verdicts.answer(connection, rejected, True, "person")
    with pytest.raises(
        NotReadyError, match=f"^new has not been judged: run `recommender run judge --ds {NIGHT}` first"
    ):
        verdicts.answer(connection, "new", True, "person")


def test_an_older_night_never_displaces_a_newer_champion(connection: psycopg.Connection) -> None:
    asked, newer = judged(connection, NIGHT, "ask"), judged(connection, AFTER, "promote")
    refusal = f"^{asked} can't be promoted: {newer} of {AFTER}, judged after it, is champion by now$"
    with pytest.raises(NotReadyError, match=refusal):
        verdicts.answer(connection, asked, True, "person")
    with pytest.raises(NotReadyError, match="can't be promoted"):
        judged(connection, BEFORE, "promote")
    assert statuses(connection) == {asked: "candidate", newer: "champion", f"ease-{BEFORE}": "candidate"}
    assert verdicts.of(connection, f"ease-{BEFORE}") is None, "all of a verdict is stored, or nothing"
    assert verdicts.answer(connection, asked, False, "person"), "a no is always possible"


def test_of_two_answers_at_once_one_counts(world: Settings, connection: psycopg.Connection) -> None:
    version = judged(connection, NIGHT, "ask")

    def promote(_: int) -> bool:
        with connect(world, autocommit=True) as own:
            return verdicts.answer(own, version, True, "person")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(promote, range(8)))
    assert sorted(answers) == [False] * 7 + [True]
    assert list(statuses(connection).values()) == ["champion"]


def test_a_question_does_not_outlive_a_champion_of_the_same_night_that_was_judged_later(
    connection: psycopg.Connection,
) -> None:
    first, second = (judged(connection, NIGHT, "ask", name) for name in ("first", "second"))
    assert verdicts.answer(connection, second, True, "person")
    with pytest.raises(NotReadyError, match=f"{first} can't be promoted: {second} of {NIGHT}, judged after it"):
        verdicts.answer(connection, first, True, "person")
    assert statuses(connection)[second] == "champion"


def test_a_model_that_is_trained_again_is_judged_anew(connection: psycopg.Connection) -> None:
    version = judged(connection, NIGHT, "ask")
    registry.register(connection, version, "ease", NIGHT, Path("nowhere"), "1", {}, {})
    assert verdicts.of(connection, version) is None
    assert verdicts.rules(connection, version) == []
    assert verdicts.questions(connection) == []


def test_an_unknown_model_is_told_with_near_names(connection: psycopg.Connection) -> None:
    with pytest.raises(ConfigError, match="no model is called 'x': `recommender models` lists them"):
        registry.known(connection, "x")
    judged(connection, NIGHT, "reject")
    with pytest.raises(ConfigError, match=r"^no model is called 'eas-2026-03-02': did you mean ease-2026-03-02\?$"):
        registry.known(connection, "eas-2026-03-02")


def test_readers_see_no_verdicts(world: Settings, connection: psycopg.Connection) -> None:
    with connect(world, READER) as reader, pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("select * from reco.verdicts")


def test_a_migration_that_would_hold_up_readers_gives_way(world: Settings, database_url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(postgres.__file__).parent / "migrations"))
    config.set_main_option("sqlalchemy.url", postgres.sqlalchemy_url(world).replace("%", "%%"))
    command.upgrade(config, "0006")
    with psycopg.connect(database_url) as reader:
        reader.execute("select * from reco.recommendations").fetchall()
        with pytest.raises(DatabaseError, match="while a long read or a publisher uses them: run it again"):
            postgres.migrate(world)
    postgres.migrate(world)


def test_models_judged_before_have_a_verdict_too(world: Settings, database_url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(postgres.__file__).parent / "migrations"))
    config.set_main_option("sqlalchemy.url", postgres.sqlalchemy_url(world).replace("%", "%%"))
    command.upgrade(config, "0005")
    became = {"a": "champion", "b": "retired", "c": "rejected", "d": "candidate"}
    with psycopg.connect(database_url) as old:
        for version, status in became.items():
            old.execute(
                """insert into reco.models (model_version, kind, ds, status, artifact, checksum, judged_at)
                   values (%s, 'ease', %s, %s, '', '', %s)""",
                [version, NIGHT, status, None if status == "candidate" else datetime(2026, 3, 3, tzinfo=UTC)],
            )
        old.execute("insert into reco.gate_results values ('a', 'drift', 1, 2, true, 'fine')")
    with connect(world) as connection:
        assert [
            (version, ruling.decision, ruling.answer, ruling.decided_by)
            for version in became
            if (ruling := verdicts.of(connection, version)) is not None
        ] == [("a", *["promote"] * 2, "policy"), ("b", *["promote"] * 2, "policy"), ("c", *["reject"] * 2, "policy")]
        assert verdicts.rules(connection, "a") == [verdicts.RuleRow("drift", 1, 2, True, "fine", "reject", "")]
