"""What `reco.recommend` and the view serve, with and without an experiment, and rolling back to any publication."""

import hashlib
from dataclasses import replace
from datetime import date

import numpy as np
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import sql

from recommender.config.settings import Settings
from recommender.publishing.publication import publish
from recommender.storage.postgres import READER, connect
from tests.publishing.contents import MODEL, made

SHARE, SALT = 0.4, "first"
USERS = [f"user-{n}" for n in range(20)]


def release(world: Settings, day: int, mark: str, told: bool = False) -> int:
    content = made(mark)
    if told:
        codes = np.tile(np.array([2, 0, 1, 2, 0, 1, 0, 0, 0, 1], np.int32), (20, 1))
        content = replace(content, lists=[replace(content.lists[0], reasons=codes)], reason_texts=["one", "two"])
    with connect(world, autocommit=True) as connection:
        return publish(connection, date(2020, 1, day), MODEL, mark, lambda: content, 5)[0]


def in_arm(user: str, salt: str = SALT, share: float = SHARE) -> bool:
    return int.from_bytes(hashlib.sha256(f"{salt}:{user}".encode()).digest()[:4], "big") / 2**32 < share


@pytest.fixture
def live(world: Settings) -> int:
    return release(world, 1, "a", told=True)


@pytest.fixture
def experiment(world: Settings, live: int) -> list[str]:
    """A running experiment on the live publication; returns who has a list of the challenger, one short of the arm."""
    arm = [user for user in USERS if in_arm(user)]
    with connect(world) as connection:
        connection.execute(
            """with started as (
                   insert into reco.experiments (name, champion, challenger, share, salt, status, started_ds)
                   values ('first', %(model)s, %(model)s, %(share)s, %(salt)s, 'running', '2020-01-01')
                   returning experiment_id)
               update reco.publications set experiment_id = (select experiment_id from started)""",
            {"model": MODEL, "share": SHARE, "salt": SALT},
        )
        partition = sql.Identifier("reco", f"challenger_lists_{live}")
        if connection.execute("select to_regclass(%s)", [f"reco.challenger_lists_{live}"]).fetchone() == (None,):
            connection.execute(
                sql.SQL("create table {} partition of reco.challenger_lists for values in ({})").format(
                    partition, sql.Literal(live)
                )
            )
        for user in [*arm[1:], next(user for user in USERS if not in_arm(user))]:
            connection.execute(
                """insert into reco.challenger_lists values
                   (%s, %s, 'personal', '{new-1,new-2}', '{0.5,0.25}', '{1,0}')""",
                [live, user],
            )
    return arm[1:]


def test_everybody_gets_what_their_arm_gets(world: Settings, experiment: list[str]) -> None:
    assert 2 < len(experiment) < 15
    with connect(world, READER) as connection:
        for user in USERS:
            served = connection.execute("select * from reco.recommend(%s, 3)", [user]).fetchall()
            viewed = connection.execute(
                "select rank, item_id, score from reco.recommendations where user_id = %s and rank <= 3 order by rank",
                [user],
            ).fetchall()
            assert [row[:3] for row in served] == viewed
            if user in experiment:
                assert served == [
                    (1, "new-1", 0.5, "personal", "one"),
                    (2, "new-2", 0.25, "personal", "close to what you chose before"),
                ]
            else:
                assert [row[1] for row in served] == [f"a-item-{(n - int(user[5:])) % 10}" for n in range(3)]
        assert connection.execute("select source from reco.recommend('stranger', 1)").fetchone() == ("popular",)
        rows = connection.execute("select count(*) from reco.recommendations").fetchone()
        assert rows == (len(experiment) * 2 + (20 - len(experiment)) * 10,)


def test_stopping_takes_effect_at_once(world: Settings, experiment: list[str]) -> None:
    with connect(world) as connection:
        connection.execute("update reco.experiments set status = 'stopped', stopped_at = now()")
        for query in (
            "select count(*) from reco.recommend(%s, 10) where item_id like 'a-%%'",
            "select count(*) from reco.recommendations where user_id = %s and item_id like 'a-%%'",
        ):
            assert [connection.execute(query, [user]).fetchone() for user in USERS] == [(10,)] * 20


def test_one_experiment_runs_at_most(world: Settings, experiment: list[str]) -> None:
    with connect(world) as connection, pytest.raises(psycopg.errors.UniqueViolation), connection.transaction():
        connection.execute(
            """insert into reco.experiments (name, champion, challenger, share, salt, status, started_ds)
               select 'second', champion, challenger, share, salt, status, started_ds from reco.experiments"""
        )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(user="user-1", salt="", share=0.5)
@given(
    user=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    salt=st.text("ab:"),
    share=st.floats(0, 1),
)
def test_the_split_is_the_hash(world: Settings, user: str, salt: str, share: float) -> None:
    with connect(world) as connection:
        found = connection.execute("select reco.in_challenger(%s, %s, %s)", [user, salt, share]).fetchone()
    assert found == (in_arm(user, salt, share),)


@pytest.mark.parametrize(("k", "rows"), [(None, 10), (0, 0), (-3, 0), (1, 1), (4, 4), (10, 10), (2**31 - 1, 10)])
@pytest.mark.parametrize(
    ("user", "source"), [("user-0", "personal"), ("stranger", "popular"), (None, "popular"), ("", "popular")]
)
def test_any_k_for_anybody(world: Settings, live: int, user: str | None, source: str, k: int | None, rows: int) -> None:
    before = {"personal": "close to what you chose before", "popular": "popular now"}[source]
    told = ["two", before, "one", "two", before, "one", before, before, before, "one"]
    with connect(world, READER) as connection:
        found = connection.execute("select * from reco.recommend(%s, %s)", [user, k]).fetchall()
    assert [(row[0], row[1], row[3]) for row in found] == [(n + 1, f"a-item-{n}", source) for n in range(rows)]
    assert [row[4] for row in found] == (told if source == "personal" else [before] * 10)[:rows]


def test_before_the_first_publication_there_is_nothing(world: Settings) -> None:
    with connect(world, READER) as connection:
        assert connection.execute("select * from reco.recommend('user-1')").fetchall() == []
        assert connection.execute("select * from reco.recommendations").fetchall() == []


def test_rolling_back_to_any_that_is_kept(world: Settings) -> None:
    ids = [release(world, day, mark) for day, mark in enumerate("abc", start=1)]
    with connect(world, autocommit=True) as connection:
        connection.execute("update reco.publications set status = 'failed' where publication_id = %s", [ids[1]])
        for target, message in (
            (ids[2], "is live already"),
            (ids[1], "failed its checks"),
            (99, "publication 99 is not kept"),
            (None, "publication null is not kept"),
        ):
            with pytest.raises(psycopg.errors.RaiseException, match=message):
                connection.execute("select reco.rollback(%s::bigint)", [target])
        assert connection.execute("select reco.rollback(%s::bigint)", [ids[0]]).fetchone() == (ids[0],)
        assert connection.execute("select item_id from reco.recommend('user-0', 1)").fetchone() == ("a-item-0",)
        assert connection.execute("select reco.rollback(%s::bigint)", [ids[2]]).fetchone() == (ids[2],)
        statuses = connection.execute("select status from reco.publications order by publication_id").fetchall()
        assert statuses == [("retired",), ("failed",), ("live",)]
        for table in ("recommendation_lists", "catalogue"):
            connection.execute(f"alter table reco.{table} detach partition reco.{table}_{ids[0]}")
            connection.execute(f"drop table reco.{table}_{ids[0]}")
        with pytest.raises(psycopg.errors.RaiseException, match="has lost its tables"):
            connection.execute("select reco.rollback(%s::bigint)", [ids[0]])
