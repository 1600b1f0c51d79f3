"""[7] A user is erased everywhere, by one command or by the queue, and stays erased. The tests run in order."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from recommender import pipeline
from recommender.errors import NotReadyError, RecommenderError
from recommender.features.store import feature_store
from recommender.features.values import online_features
from recommender.models.registry import MODELS
from recommender.publishing import erasure
from recommender.storage.artifacts import verify
from recommender.storage.lake import Lake
from recommender.storage.postgres import READER, connect, libpq_url
from recommender.storage.world_lock import shared
from tests.e2e.people import FIRST, SECOND, THIRD, USERS, People, user, write_people

GONE, QUEUED, KILLED, NEWCOMER = user(1), user(20), user(3), user(USERS - 1)


def ask(people: People, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    with connect(people.settings) as connection:
        return connection.execute(query, parameters).fetchall()


def places_with(people: People, user_id: str) -> list[str]:
    """Everything that holds the id: files of the world as bytes, Parquet unpacked, and every table of the database."""
    import pyarrow.parquet as pq

    world, found = people.settings.world, []

    def says(text: str) -> bool:
        return any(text.endswith(user_id) or f"{user_id}{end}" in text for end in "\",' \\n@")

    for path in sorted(path for path in world.rglob("*") if path.is_file()):
        if path.suffix == ".parquet":
            rows = (str(value) for column in pq.ParquetFile(path).read().to_pydict().values() for value in column)
            held = any(map(says, rows))
        else:
            held = says(path.read_bytes().decode("utf-8", errors="ignore"))
        if held:
            found.append(str(path.relative_to(world)))
    with psycopg.connect(libpq_url(people.settings)) as connection:
        tables = connection.execute(
            """select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
               where n.nspname in ('reco', 'feast') and c.relkind = 'r'"""
        ).fetchall()
        for schema, table in tables:
            rows = connection.execute(
                sql.SQL("select exists (select from {} as t where t::text like any(%s))").format(
                    sql.Identifier(schema, table)
                ),
                # bytes are shown in hexadecimal
                [
                    [f"%{user_id}{end}%" for end in '",)']
                    + [f'%{user_id.encode().hex()}"%', f"%{user_id.encode().hex()},%"]
                ],
            ).fetchone()
            if rows == (True,):
                found.append(f"{schema}.{table}")
    return found


def test_before_the_user_is_everywhere(people: People) -> None:
    places = " ".join(places_with(people, GONE))
    for place in ("lake/events", "lake/users", "lake/user_features", "lake/quarantine_events", "artifacts"):
        assert place in places
    assert "reco.recommendation_lists_1" in places
    assert "reco.recommendation_lists_2" in places
    assert "feast.recommender_user_features" in places


def test_the_command_asks_and_can_be_declined(people: People) -> None:
    said = people.run("erase", GONE, expect=1)  # no answer is a no
    assert "for good?" in said
    assert places_with(people, GONE)
    assert ask(people, "select count(*) from reco.erasure_requests") == [(0,)]


def test_one_command_erases_a_user_everywhere(people: People) -> None:
    before = {path: len(Lake(people.settings.lake).read("events", path)) for path in (FIRST, SECOND)}
    live = ask(people, "select publication_id, users from reco.publications order by 1")
    others = ask(people, "select * from reco.recommendation_lists where user_id <> %s order by 1, 2", [GONE])
    said = people.run("erase", GONE, "--yes")
    assert "1 user erased, rows by place: lake/events" in said
    assert "source files are yours" in said
    assert GONE not in said
    assert places_with(people, GONE) == []
    ((erased, places),) = ask(people, "select requested_at <= done_at, places from reco.erasures")
    assert erased
    landed = sum(before.values()) - sum(len(Lake(people.settings.lake).read("events", night)) for night in before)
    assert places["lake/events"] == landed > 20
    assert places["publications"] == 2
    assert {"lake/users", "lake/user_features", "lake/quarantine_events", "feast", "artifacts"} <= set(places)
    assert ask(people, "select publication_id, users from reco.publications order by 1") == [
        (number, users - 1) for number, users in live
    ]
    assert ask(people, "select * from reco.recommendation_lists order by 1, 2") == others


def test_readers_give_the_erased_what_strangers_get(people: People) -> None:
    erased = ask(people, "select * from reco.recommend(%s, 5)", [GONE])
    assert erased == ask(people, "select * from reco.recommend('a stranger', 5)") != []
    assert {row[3] for row in erased} == {"popular"}
    store = feature_store(people.settings, libpq_url(people.settings))
    assert set(online_features(store, people.settings.profile, GONE).values()) == {None}
    assert online_features(store, people.settings.profile, user(0))["events_total"] is not None


def test_models_still_verify_and_load(people: People) -> None:
    rows = ask(people, "select kind, artifact, checksum, serving_artifact, serving_checksum from reco.models")
    assert len(rows) >= 2
    for kind, *artifacts in rows:
        for folder, expected in zip(artifacts[::2], artifacts[1::2], strict=True):
            if folder is not None:
                verify(Path(folder), expected)
                MODELS[kind].load(Path(folder))


def test_the_next_night_and_the_same_night_again_leave_the_user_out(people: People) -> None:
    rejected = ask(people, "select count(*) from reco.stage_runs")
    for night in (SECOND, THIRD):
        said = people.run("run", "ingest", "--ds", str(night))
        assert "erased" in said
        for stage in ("features", "publish"):
            people.run("run", stage, "--ds", str(night))
    assert places_with(people, GONE) == []
    assert ask(people, "select count(*) from reco.stage_runs") > rejected
    assert ask(people, "select ds from reco.publications where status = 'live'") == [(THIRD,)]
    assert ask(people, "select count(*) > 50 from reco.recommendation_lists") == [(True,)]


def test_a_killed_erasure_is_finished_by_the_next(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(erasure, "erase_from_artifacts", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            pipeline.erase(people.settings, [KILLED])
    assert places_with(people, KILLED)
    assert ask(people, "select user_id from reco.erasure_requests") == [(KILLED,)]
    assert "1 user erased" in people.run("erase")
    assert places_with(people, KILLED) == []
    assert ask(people, "select count(*) from reco.erasures") == [(2,)]


def test_requests_wait_in_a_queue_that_readers_cannot_fill(people: People) -> None:
    with connect(people.settings, READER) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select reco.request_erasure('x')")
    with pytest.raises(psycopg.errors.RaiseException, match="needs a user id"):
        ask(people, "select reco.request_erasure(' ')")
    for user_id in (QUEUED, QUEUED, f" {NEWCOMER} "):
        ask(people, "select reco.request_erasure(%s)", [user_id])
    done = pipeline.erase(people.settings)
    assert done.users == 2
    assert places_with(people, QUEUED) == places_with(people, NEWCOMER) == []
    rows = ask(people, "select places from reco.erasures order by erasure_id desc limit 2")
    newcomers, active = sorted(places.get("lake/events", 0) for (places,) in rows)
    assert newcomers == 0 < 20 < active
    assert pipeline.erase(people.settings).summary == "nobody is waiting to be erased"


def test_an_unknown_user_is_kept_out_all_the_same(people: People) -> None:
    assert "nothing of theirs was found" in people.run("erase", "QZuser-later", "--yes")
    with (people.folder / "users.csv").open("a") as file:
        file.write("QZuser-later,Zanzibarland,43.4453,qzgender-a,,gold\n")
    people.run("run", "ingest", "--ds", str(THIRD))
    assert places_with(people, "QZuser-later") == []
    write_people(people.folder)


def test_a_user_who_is_only_in_a_line_that_cannot_be_read_stays_erased_too(people: People) -> None:
    assert any("quarantine_events" in place for place in places_with(people, "QZuser-torn"))
    assert "lake/quarantine_events 1" in people.run("erase", "QZuser-torn", "--yes")
    people.run("run", "ingest", "--ds", str(THIRD))
    assert places_with(people, "QZuser-torn") == []


def test_an_erasure_waits_for_the_running_stage(people: People) -> None:
    with (
        shared(people.settings.world),
        connect(people.settings, autocommit=True) as connection,
        pytest.raises(NotReadyError, match="the request is kept"),
    ):
        erasure.erase_users(people.settings, connection, [user(7)], wait_seconds=0)
    assert places_with(people, user(7))
    people.run("erase")
    assert places_with(people, user(7)) == []


def test_an_empty_id_is_refused(people: People) -> None:
    with pytest.raises(RecommenderError, match="needs a user id"):
        pipeline.erase(people.settings, [" "])
    assert "needs a user id" in people.run("erase", "", "--yes", expect=2)


def test_every_table_with_user_ids_is_known_to_the_erasure(people: People) -> None:
    """A table that is added later must be added to `erase_users` too."""
    tables = ask(
        people,
        r"""select distinct regexp_replace(table_name, '_\d+$', '') from information_schema.columns
            where table_schema = 'reco' and column_name in ('user_id', 'user_ids') order by 1""",
    )
    assert [table for (table,) in tables] == [
        "challenger_lists", "erasure_requests", "exposures", "outcomes", "recommendation_lists", "recommendations",
        "user_vectors",
    ]  # fmt: skip


def test_nobody_was_named(people: People) -> None:
    for user_id in (GONE, QUEUED, KILLED, NEWCOMER, "QZuser-later"):
        assert not any(user_id in said for said in people.said)
