"""Publications: all or nothing, one live at every instant, rolled back in one call, no older night on top."""

import threading
import time
from dataclasses import replace
from datetime import date

import numpy as np
import psycopg
import pytest
from psycopg import sql

from recommender import pipeline
from recommender.config.settings import Settings
from recommender.errors import NotReadyError, PublicationError
from recommender.publishing import publication
from recommender.publishing.content import Content, UserLists
from recommender.publishing.publication import publish
from recommender.retrieval.exact import TopK
from recommender.storage.postgres import READER, connect, libpq_url
from tests.publishing.contents import MODEL, made

NIGHTS = [date(2020, 1, day) for day in range(1, 12)]


def release(
    settings: Settings, night: date, mark: str, content: Content | None = None, keep: int = 5
) -> tuple[int, str]:
    with connect(settings, autocommit=True) as connection:
        return publish(connection, night, MODEL, mark, lambda: content or made(mark), keep)


def ask(settings: Settings, query: str, *parameters: object) -> list[tuple]:
    with connect(settings) as connection:
        return connection.execute(query, parameters).fetchall()


def statuses(settings: Settings) -> dict[str, str]:
    return dict(ask(settings, "select fingerprint, status from reco.publications order by 1"))


def test_what_was_published_is_what_is_read(world: Settings) -> None:
    release(world, NIGHTS[0], "a")
    rows = ask(world, "select * from reco.recommend('user-1', 3)")
    assert [row[:4] for row in rows] == [
        (1, "a-item-9", 1.0, "personal"),
        (2, "a-item-0", pytest.approx(0.9), "personal"),
        (3, "a-item-1", pytest.approx(0.8), "personal"),
    ]
    assert all(row[4] for row in rows)
    unknown = ask(world, "select * from reco.recommend('nobody''; drop schema reco cascade; --')")
    assert [row[1] for row in unknown] == [f"a-item-{n}" for n in range(10)]
    assert {row[3] for row in unknown} == {"popular"}
    assert len(ask(world, "select * from reco.recommend(null)")) == 10
    assert len(ask(world, "select * from reco.recommend('user-1', 1000)")) == 10
    assert ask(world, "select * from reco.recommend('user-1', -1)") == []
    assert ask(world, "select rank, item_id from reco.similar_items('a-item-5', 2)") == [
        (1, "a-item-0"),
        (2, "a-item-1"),
    ]
    assert ask(world, "select * from reco.similar_items('unknown')") == []
    view = ask(
        world, "select item_id, score, publication_id from reco.recommendations where user_id = 'user-1' order by rank"
    )
    assert view[0] == ("a-item-9", 1.0, 1)
    assert ask(world, "select count(*) from reco.recommendations") == [(200,)]


def test_search_forgives_case_accents_and_typos(world: Settings) -> None:
    content = made("a", k=4)
    titles = np.array(["Bohemian Rhapsody", "Déjà Vu", "Rhapsody in Blue", "Blue Monday"], object)
    release(
        world,
        NIGHTS[0],
        "a",
        replace(content, titles=titles, creators=np.array(["Queen", None, "Gershwin", None], object)),
    )
    for query, expected in {
        "quen bohemian rapsody": "Bohemian Rhapsody",
        "DEJA  VU": "Déjà Vu",
        "blue munday": "Blue Monday",
        "gershwin": "Rhapsody in Blue",
    }.items():
        assert ask(world, "select title from reco.search_items(%s, 1)", query) == [(expected,)]
    assert ask(world, "select * from reco.search_items('zzz')") == []
    assert ask(world, "select * from reco.search_items('')") == []


def test_the_same_content_twice_is_one_publication(world: Settings) -> None:
    first = release(world, NIGHTS[0], "a")
    assert release(world, NIGHTS[0], "a") == (first[0], "this very content is live already")
    assert ask(world, "select count(*) from reco.publications") == [(1,)]


def test_new_content_for_the_same_night_replaces_the_old(world: Settings) -> None:
    release(world, NIGHTS[0], "a")
    release(world, NIGHTS[1], "b")
    release(world, NIGHTS[1], "c")
    assert statuses(world) == {"a": "retired", "c": "live"}
    assert ask(world, "select count(*) from reco.recommendation_lists") == [(40,)]
    pipeline.rollback(world)
    assert statuses(world) == {"a": "live", "c": "retired"}


def test_an_older_night_never_replaces_a_newer_one(world: Settings) -> None:
    release(world, NIGHTS[5], "new")
    publication_id, done = release(world, NIGHTS[0], "old")
    assert "newer night" in done
    assert statuses(world) == {"new": "live"}
    assert publication_id == 1


def test_an_item_twice_in_the_catalogue_fails_the_checks(world: Settings) -> None:
    release(world, NIGHTS[0], "a")
    bad = made("b")
    bad.item_ids[9] = bad.item_ids[8]
    with pytest.raises(PublicationError, match="1 items are in the catalogue twice"):
        release(world, NIGHTS[1], "b", bad)
    assert statuses(world) == {"a": "live", "b": "failed"}


def test_rollback_and_a_night_run_again_after_it(world: Settings) -> None:
    release(world, NIGHTS[0], "a")
    with pytest.raises(NotReadyError, match="no earlier publication"):
        pipeline.rollback(world)
    release(world, NIGHTS[1], "b")
    assert pipeline.rollback(world) == 1
    assert ask(world, "select item_id from reco.recommend('user-0', 1)") == [("a-item-0",)]
    release(world, NIGHTS[1], "b")
    assert statuses(world) == {"a": "retired", "b": "live"}


def test_what_was_rolled_away_from_is_passed_over_and_goes_first(world: Settings) -> None:
    for night, mark in zip(NIGHTS, "ab", strict=False):
        release(world, night, mark, keep=2)
    assert pipeline.rollback(world) == 1
    release(world, NIGHTS[2], "c", keep=2)
    assert statuses(world) == {"a": "retired", "c": "live"}, "the one that was live stays, not the one withdrawn"
    assert pipeline.rollback(world) == 1
    with pytest.raises(NotReadyError, match="no earlier publication"):
        pipeline.rollback(world)


def test_a_rollback_far_back_withdraws_all_that_it_passes(world: Settings) -> None:
    for night, mark in zip(NIGHTS, "abcd", strict=False):
        release(world, night, mark, keep=9)
    assert pipeline.rollback(world, to=2) == 2
    release(world, NIGHTS[4], "e", keep=9)
    assert pipeline.rollback(world) == 2
    assert pipeline.rollback(world, to=4) == 4, "whoever names it may have it back"
    assert pipeline.rollback(world) == 2


def test_those_that_failed_do_not_pile_up(world: Settings) -> None:
    release(world, NIGHTS[0], "a")
    for night, mark in zip(NIGHTS[1:], "bcde", strict=False):
        bad = made(mark)
        bad.lists[0].top.scores[0, 1] = np.nan
        with pytest.raises(PublicationError):
            release(world, night, mark, bad)
    assert statuses(world) == {"a": "live", "d": "failed", "e": "failed"}


def test_the_last_ones_stay_and_the_rest_go_with_their_tables(world: Settings) -> None:
    for night, mark in zip(NIGHTS, "abcdefg", strict=False):
        release(world, night, mark, keep=3)
    assert statuses(world) == {"e": "retired", "f": "retired", "g": "live"}
    tables = ask(
        world,
        """select distinct substring(tablename from '_([0-9]+)$') from pg_tables
           where schemaname = 'reco' and tablename ~ '_[0-9]+$' order by 1""",
    )
    assert tables == [("5",), ("6",), ("7",)]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda top: np.put(top.items, 1, top.items[0, 0]), "an item twice"),
        (lambda top: np.put(top.scores, 1, np.nan), "not a number"),
        (lambda top: top.items.fill(-1), "empty"),
        (lambda top: np.put(top.items, 1, -1), "a gap in their list"),
    ],
)
def test_a_bad_publication_fails_its_checks_and_the_live_one_goes_on(world: Settings, damage, reason: str) -> None:
    release(world, NIGHTS[0], "a")
    bad = made("b")
    damage(bad.lists[0].top)
    with pytest.raises(PublicationError, match=reason):
        release(world, NIGHTS[1], "b", bad)
    assert statuses(world) == {"a": "live", "b": "failed"}
    assert ask(world, "select item_id from reco.recommend('user-0', 1)") == [("a-item-0",)]
    release(world, NIGHTS[1], "c")
    assert statuses(world)["c"] == "live"


def test_an_abandoned_load_is_removed_by_the_next(world: Settings) -> None:
    class Killed(BaseException):
        pass

    def dies(_: str) -> None:
        raise Killed

    with pytest.raises(Killed), connect(world, autocommit=True) as connection:
        publish(connection, NIGHTS[0], MODEL, "a", lambda: made("a"), 5, dies)
    assert statuses(world) == {"a": "staging"}
    assert ask(world, "select * from reco.recommend('user-0', 1)") == []
    release(world, NIGHTS[0], "b")
    assert statuses(world) == {"b": "live"}


@pytest.mark.parametrize("after", ["drop table", "detach partition", "delete from reco.publications"])
def test_a_removal_that_was_killed_leaves_nothing_to_roll_back_to(
    world: Settings, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    class Killed(BaseException):
        pass

    for mark, night in zip("ab", NIGHTS, strict=False):
        release(world, night, mark)
    execute = psycopg.Connection.execute

    def dies(connection: psycopg.Connection, query: object, *rest: object) -> object:
        text = query.as_string(connection) if isinstance(query, sql.Composable) else str(query)
        if after in text:
            raise Killed
        return execute(connection, query, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(psycopg.Connection, "execute", dies)
        release(world, NIGHTS[1], "c")  # the same night again: b goes
    assert statuses(world) == {"a": "retired", "b": "staging", "c": "live"}
    pipeline.rollback(world)
    assert ask(world, "select item_id from reco.recommend('user-0', 1)") == [("a-item-0",)]
    release(world, NIGHTS[2], "d")
    assert statuses(world) == {"a": "retired", "c": "retired", "d": "live"}


def test_what_a_rollback_made_live_meanwhile_is_not_removed(world: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    release(world, NIGHTS[0], "a")
    retire = publication._retire

    def late(*given: object) -> None:
        pipeline.rollback(world)
        retire(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(publication, "_retire", late)
    release(world, NIGHTS[1], "b", keep=1)
    assert statuses(world) == {"a": "live", "b": "retired"}
    assert ask(world, "select item_id from reco.recommend('user-0', 1)") == [("a-item-0",)]


def test_a_reader_never_sees_an_empty_or_mixed_answer(world: Settings) -> None:
    release(world, NIGHTS[0], "p0")
    stop, wrong, answers = threading.Event(), [], []

    def read() -> None:
        with psycopg.connect(libpq_url(world), autocommit=True) as connection:
            connection.execute("set role reco_reader")
            while not stop.is_set():
                listed = connection.execute("select item_id from reco.recommend('user-3', 10)").fetchall()
                viewed = connection.execute(
                    "select item_id from reco.recommendations where user_id = 'user-4'"
                ).fetchall()
                live = connection.execute("select count(distinct publication_id) from reco.recommendations").fetchone()
                for rows in (listed, viewed):
                    if len(rows) != 10 or len({row[0].split("-")[0] for row in rows}) != 1:
                        wrong.append(rows)
                if live != (1,):
                    wrong.append(live)
                answers.append(listed[0][0].split("-")[0] if listed else None)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number, night in enumerate(NIGHTS[1:], start=1):
        release(world, night, f"p{number}", made(f"p{number}", users=300), keep=2)
        time.sleep(0.05)
    pipeline.rollback(world)
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(set(answers)) >= 5, "the readers must have seen several publications for this to mean anything"


def test_the_reader_role_may_look_up_and_nothing_else(world: Settings) -> None:
    release(world, NIGHTS[0], "a")
    with connect(world, READER, autocommit=True) as connection:
        for allowed in (
            "select * from reco.recommend('user-1')",
            "select * from reco.similar_items('a-item-1')",
            "select * from reco.search_items('title')",
            "select * from reco.recommendations",
        ):
            assert connection.execute(allowed).fetchall()
        for refused in (
            "select * from reco.recommendation_lists",
            "select * from reco.publications",
            "select * from reco.models",
            "select * from reco.gate_results",
            "select * from reco.indexes",
            "select reco.rollback()",
            "update reco.publications set status = 'retired'",
            "delete from reco.recommendations",
            "create table reco.mine (n int)",
            "create temp table mine (n int)",
        ):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState)):
                connection.execute(refused)


def test_two_sources_of_lists_and_short_ones(world: Settings) -> None:
    content = made("a")
    short = TopK(np.array([[2, 1, -1]], np.int32), np.array([[0.5, 0.25, -np.inf]], np.float32))
    lists = [*content.lists, UserLists("segment", np.array(["newcomer"], object), short)]
    release(world, NIGHTS[0], "a", replace(content, lists=lists))
    rows = ask(world, "select item_id, score, source from reco.recommend('newcomer')")
    assert rows == [("a-item-2", 0.5, "segment"), ("a-item-1", 0.25, "segment")]
