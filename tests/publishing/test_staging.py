"""A publication's tables: loaded whole beside the live ones, checked as PostgreSQL has them, kept, removed."""

from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import psycopg
import pytest
from scipy import sparse

from recommender.config.settings import Settings
from recommender.errors import PublicationError
from recommender.publishing import publication, staging
from recommender.publishing.checks import Wanted
from recommender.publishing.content import Content, UserLists, Vectors
from recommender.publishing.loaded import check_loaded
from recommender.publishing.publication import Bounds, publish
from recommender.retrieval.exact import TopK
from recommender.storage.postgres import connect, libpq_url
from tests.publishing.contents import MODEL, made

NIGHTS = [date(2020, 1, day) for day in range(1, 10)]


def release(settings: Settings, night: date, content: Content, mark: str = "", **more: Any) -> tuple[int, str]:
    with connect(settings, autocommit=True) as connection:
        return publish(connection, night, MODEL, mark or str(night), lambda: content, more.pop("keep", 5), **more)


def ask(settings: Settings, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with connect(settings) as connection:
        return connection.execute(query, parameters).fetchall()


def uneven() -> Content:
    """Lists of three lengths with and without reasons, letters of all kinds, one hidden item, an experiment."""
    items = np.array([[2, 1, -1], [0, 1, 2], [1, -1, -1], [0, 2, 1]], np.int32)
    scores = np.where(items >= 0, np.float32(0.1) * np.arange(3, 0, -1), -np.inf).astype(np.float32)
    told = UserLists(
        "personal",
        np.array(["ü" * 200, "", "日本", "d'Arc"], object),
        TopK(items, scores),
        np.where(items >= 0, 1, 0).astype(np.int32),
    )
    untold = UserLists("segment", np.array(["new"], object), TopK(items[1:2], scores[1:2]))
    other = UserLists("personal", np.array(["日本"], object), TopK(items[3:], scores[3:]))
    similar = TopK(np.array([[1, 2], [2, -1], [-1, -1], [0, 1]], np.int32), np.ones((4, 2), np.float32))
    return replace(
        made("ä", k=4),
        lists=[told, untold],
        challenger=[other],
        popular=TopK(items[1:2], scores[1:2]),
        similar=similar,
        top_k=3,
        reason_texts=["weil ß"],
        hidden=np.array([False, False, False, True]),
    )


def test_every_row_arrives_as_it_was(world: Settings) -> None:
    release(world, NIGHTS[0], uneven())
    three = [pytest.approx(0.3), pytest.approx(0.2), pytest.approx(0.1)]
    lists = ask(world, "select user_id, source, item_ids, scores, reasons from reco.recommendation_lists")
    assert sorted(lists) == [
        ("", "personal", ["ä-item-0", "ä-item-1", "ä-item-2"], three, [1, 1, 1]),
        ("d'Arc", "personal", ["ä-item-0", "ä-item-2", "ä-item-1"], three, [1, 1, 1]),
        ("new", "segment", ["ä-item-0", "ä-item-1", "ä-item-2"], three, None),
        ("ü" * 200, "personal", ["ä-item-2", "ä-item-1"], three[:2], [1, 1]),
        ("日本", "personal", ["ä-item-1"], three[:1], [1]),
    ]
    theirs = ask(world, "select user_id, source, item_ids, scores, reasons from reco.challenger_lists")
    assert theirs == [("日本", "personal", ["ä-item-0", "ä-item-2", "ä-item-1"], three, None)]
    assert ask(world, "select item_id, hidden, similar_ids from reco.catalogue order by label") == [
        ("ä-item-0", False, ["ä-item-1", "ä-item-2"]),
        ("ä-item-1", False, ["ä-item-2"]),
        ("ä-item-2", False, []),
        ("ä-item-3", True, ["ä-item-0", "ä-item-1"]),
    ]
    assert ask(world, "select code, text from reco.reason_texts") == [(1, "weil ß")]


def test_vectors_are_loaded_where_the_server_can(world: Settings) -> None:
    content = uneven()
    values = np.eye(4, 3, dtype=np.float32)
    with connect(world) as connection:
        if not staging.vectors.available(connection):
            pytest.skip("the server has no pgvector")
    people = [Vectors(part.user_ids, values[: len(part.user_ids)]) for part in content.lists]
    release(
        world, NIGHTS[0], replace(content, item_vectors=Vectors(content.item_ids[:3], values[:3]), user_vectors=people)
    )
    assert ask(world, "select count(*) from reco.item_vectors") == [(3,)]
    assert ask(world, "select count(*) from reco.user_vectors") == [(5,)]
    broken = replace(content, item_vectors=Vectors(content.item_ids[:1], np.full((1, 3), np.inf, np.float32)))
    with pytest.raises(PublicationError, match="not numbers"):
        release(world, NIGHTS[1], broken)
    assert ask(world, "select status from reco.publications order by publication_id") == [("live",), ("failed",)]


def test_what_was_measured_is_kept_and_told(world: Settings) -> None:
    first = made("a")
    release(world, NIGHTS[0], first)
    half = first.lists[0].top.items.copy()
    half[:, 5:] = np.arange(10, 15)
    ids = np.append(first.item_ids, [f"new-{n}" for n in range(10)])
    similar = TopK(np.zeros((20, 0), np.int32), np.zeros((20, 0), np.float32))
    texts = np.full(20, None, object)
    second = replace(
        first,
        item_ids=ids,
        titles=texts,
        creators=texts,
        similar=similar,
        lists=[replace(first.lists[0], top=TopK(half, first.lists[0].top.scores))],
    )
    _, done = release(world, NIGHTS[1], second, bounds=Bounds(min_coverage=0.75, min_overlap=0.5))
    assert done == "live, 50% of a list as it was"
    kept = ask(world, "select checks from reco.publications order by publication_id")
    assert kept == [({"coverage": 1.0, "overlap": None},), ({"coverage": 0.75, "overlap": 0.5},)]
    with pytest.raises(PublicationError, match=r"50\.00% of a list are in the live one too, publish\.min_overlap asks"):
        release(world, NIGHTS[2], first, bounds=Bounds(min_overlap=0.6))
    with pytest.raises(PublicationError, match=r"75\.00% of the catalogue are in some list, publish\.min_coverage"):
        release(world, NIGHTS[2], second, "again", bounds=Bounds(min_coverage=0.8))


def test_what_failed_stays_for_inspection_with_every_reason(world: Settings) -> None:
    release(world, NIGHTS[0], made("a"))
    bad = made("b", users=3)
    bad.lists[0].user_ids[2] = "user-0"
    bad.lists[0].top.scores[1, 4] = np.nan
    with pytest.raises(PublicationError) as failure:
        release(world, NIGHTS[1], bad)
    reasons = "1 users have a second list; 1 users have a score that is not a number"
    assert str(failure.value).endswith(f"failed its checks and was not made live: {reasons}")
    assert ask(world, "select status, detail from reco.publications where publication_id = 2") == [("failed", reasons)]
    assert ask(world, "select count(*), count(distinct user_id) from reco.recommendation_lists_2") == [(3, 2)]
    assert ask(world, "select distinct publication_id from reco.recommendation_lists") == [(1,)]
    for night in NIGHTS[2:5]:
        with pytest.raises(PublicationError):
            release(world, night, bad)
    release(world, NIGHTS[5], made("c"), keep=1)
    # the last two that failed, and none of them counts as one that is kept for rollback
    kept = ask(world, "select publication_id, status from reco.publications order by 1")
    assert kept == [(4, "failed"), (5, "failed"), (6, "live")]
    assert ask(world, "select to_regclass('reco.recommendation_lists_2')") == [(None,)]
    assert ask(world, "select count(*) from reco.recommendation_lists_5") == [(3,)]


def test_what_can_t_be_loaded_fails_without_tables(world: Settings) -> None:
    bad = made("b")
    bad.lists[0].top.items[0, 0] = 10
    with pytest.raises(PublicationError, match="name an item that is not there"):
        release(world, NIGHTS[0], bad)
    assert ask(world, "select to_regclass('reco.recommendation_lists_1')") == [(None,)]


def test_whoever_is_to_have_a_list_is_missed(world: Settings) -> None:
    content = made("a", users=2)
    nobody_met = sparse.csr_matrix((3, 10), dtype=np.float32)
    wanted = Wanted(np.array(["user-0", "user-1", "user-2"], object), nobody_met)
    with pytest.raises(PublicationError, match="1 users are missing: they are to have a list"):
        release(world, NIGHTS[0], content, wanted=lambda: wanted)
    release(world, NIGHTS[0], made("a", users=3), "whole", wanted=lambda: wanted)


@pytest.mark.parametrize(
    ("damage", "faults"),
    [
        ("select 1", []),
        (
            "delete from reco.recommendation_lists_1 where user_id = 'user-7'",
            [
                "recommendation_lists has 19 of 20 users",
                "recommendation_lists has 190 of 200 entries",
                "recommendation_lists has 124 of 130 bytes of user ids",
                "1 of 20 lists that were read back are not what was sent",
            ],
        ),
        (
            "update reco.recommendation_lists_1 set item_ids[3] = null where user_id = 'user-7'",
            [
                "1 rows of recommendation_lists have a null in an array",
                "1 of 20 lists that were read back are not what was sent",
            ],
        ),
        (
            "update reco.recommendation_lists_1 set scores = scores[1:9] where user_id = 'user-7'",
            [
                "1 rows of recommendation_lists have arrays that differ in length",
                "1 of 20 lists that were read back are not what was sent",
            ],
        ),
        (
            "update reco.recommendation_lists_1 set scores[2] = 0.123 where user_id = 'user-7'",
            ["1 of 20 lists that were read back are not what was sent"],
        ),
        (
            "delete from reco.catalogue_1 where label = 3",
            ["catalogue has 9 of 10 rows", "1 recommended items are not in the catalogue"],
        ),
    ],
)
def test_what_the_database_has_is_compared_with_what_was_sent(world: Settings, damage: str, faults: list[str]) -> None:
    content = made("a")
    release(world, NIGHTS[0], content)
    with connect(world, autocommit=True) as connection:
        connection.execute(damage.encode())
        assert check_loaded(connection, 1, content, None).faults == faults


def test_a_long_read_holds_up_a_removal_and_nothing_else(world: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publication, "_REMOVAL_WAIT", "100ms")
    release(world, NIGHTS[0], made("a"))
    with psycopg.connect(libpq_url(world)) as reader:
        reader.execute("select count(*) from reco.recommendations")
        release(world, NIGHTS[1], made("b"), keep=1)
        release(world, NIGHTS[2], made("c"), keep=1)
        statuses = ask(world, "select publication_id, status from reco.publications order by 1")
        assert statuses == [(1, "staging"), (2, "staging"), (3, "live")]
        assert {row[0] for row in ask(world, "select item_id from reco.recommend('user-0')")} >= {"c-item-0"}
        assert reader.execute("select count(*) from reco.recommendations").fetchone() == (200,)
    release(world, NIGHTS[3], made("d"), keep=1)
    assert ask(world, "select publication_id, status from reco.publications") == [(4, "live")]


def test_tables_are_attached_without_a_scan(world: Settings) -> None:
    with connect(world, autocommit=True) as connection:
        notices: list[str] = []
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        connection.execute("set client_min_messages = debug1")
        publish(connection, NIGHTS[0], MODEL, "a", lambda: made("a"), 5)
    implied = [line for line in notices if "is implied by existing constraints" in line]
    assert len(implied) == len(
        ask(world, "select from pg_inherits join pg_class on oid = inhrelid where relkind = 'r'")
    )


def test_who_may_be_shown_nothing_gets_nothing_and_others_their_lists(world: Settings) -> None:
    content = made("a", users=2, k=4)
    lists = content.lists[0]
    nobody = UserLists("popular", np.array(["user-9"], object), TopK.empty(1, 4))
    users = np.array(["user-0", "user-1", "user-9"], object)
    allowed = np.packbits(np.array([[True] * 4, [False] * 4]), axis=1)
    wanted = Wanted(users, sparse.csr_matrix((3, 4)), None, np.array([0, 0, 1], np.int32), allowed)
    release(world, NIGHTS[0], replace(content, lists=[lists, nobody]), wanted=lambda: wanted)
    assert [len(ask(world, "select * from reco.recommend(%s)", user)) for user in users] == [4, 4, 0]
    kept = replace(wanted, groups=np.zeros(3, np.int32))
    with pytest.raises(PublicationError, match="1 users have a list that is empty"):
        release(world, NIGHTS[1], replace(content, lists=[lists, nobody]), wanted=lambda: kept)
