"""The SQL look-ups through the clients that applications use, on real servers."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import psutil
import psycopg
import pytest
import sqlalchemy
from typer.testing import CliRunner

from recommender.cli import app as commands
from recommender.config.settings import Settings, load_settings
from recommender.publishing.publication import publish
from recommender.storage import embedded
from recommender.storage.postgres import WRITER, connect, libpq_url
from tests.publishing.contents import MODEL, made, register_model

LOOKUPS = (
    "select * from reco.recommend('user-1', 5)",
    "select * from reco.recommend('nobody', 5)",
    "select * from reco.similar_items('a-item-2', 5)",
    "select * from reco.search_items('titel 3', 5)",
    "select * from reco.recommendations where user_id = 'user-2' order by rank",
)
HOSTILE = ("x'; drop schema reco cascade; --", "\\'; select 1; --", "user-1\u0000'", "$1", "{user-1}", "%s", "用户-1")


@pytest.fixture
def world(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Night 1 is live; `app` is an application's login."""
    monkeypatch.setenv("RECOMMENDER_DATABASE_URL", database_url)
    settings = load_settings("synthetic")
    register_model(settings, date(2020, 1, 1))
    release(settings, 1, "a")
    return settings


@pytest.fixture
def app(world: Settings) -> Iterator[str]:
    """The URL of a login that is a member of reco_reader and nothing else."""
    url = libpq_url(world)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create role app login in role reco_reader")
        yield url.replace("//postgres@", "//app@")
        connection.execute("drop role app")


def release(settings: Settings, day: int, mark: str) -> None:
    content = made(mark)
    told = replace(content.lists[0], reasons=np.tile(np.arange(10, dtype=np.int32) % 3, (20, 1)))
    content = replace(content, lists=[told], reason_texts=[f"because of {mark}", "new"])
    with connect(settings, WRITER, autocommit=True) as connection:
        publish(connection, date(2020, 1, day), MODEL, mark, lambda: content, 5)


def expected(mark: str, user: int, k: int) -> list[tuple[int, str, float, str, str]]:
    """What `made` puts into the list of `user-<user>`, with the reasons of `release`."""
    reasons = ("close to what you chose before", f"because of {mark}", "new")
    return [
        (n + 1, f"{mark}-item-{(n - user) % 10}", pytest.approx(1 - 0.1 * n), "personal", reasons[n % 3])
        for n in range(k)
    ]


def programs(url: str) -> Path:
    """The folder of the server's programs."""
    with psycopg.connect(url) as connection:
        return Path(psutil.Process(connection.info.backend_pid).exe()).parent


def test_psql(app: str) -> None:
    psql = [programs(app) / "psql", app, "--no-psqlrc", "--no-align", "--tuples-only", "--set", "ON_ERROR_STOP=1"]
    query = "select rank, item_id, source, reason from reco.recommend(:'user', 2)"
    printed = subprocess.run([*psql, "--set", "user=user-1"], input=query, capture_output=True, text=True, check=True)
    assert printed.stdout.splitlines() == [
        "1|a-item-9|personal|close to what you chose before",
        "2|a-item-0|personal|because of a",
    ]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_sqlalchemy(app: str, driver: str) -> None:
    engine = sqlalchemy.create_engine(app.replace("postgresql://", f"postgresql+{driver}://"))
    query = sqlalchemy.text("select * from reco.recommend(:user, :k)")
    with engine.connect() as connection:
        for user in range(8):  # psycopg prepares from the sixth on
            rows = connection.execute(query, {"user": f"user-{user}", "k": 4}).fetchall()
            assert [tuple(row) for row in rows] == expected("a", user, 4)
        for hostile in HOSTILE:
            if "\u0000" not in hostile:
                assert len(connection.execute(query, {"user": hostile, "k": 3}).fetchall()) == 3
    engine.dispose()


@pytest.mark.parametrize("way", ["statement", "protocol"])
def test_prepared_once_and_right_after_every_switch(world: Settings, app: str, way: str) -> None:
    """A generic plan is kept from the sixth execution on; tables come, go and change places under it."""
    names = {"recommend": "user-3", "similar_items": "a-item-3"}
    with psycopg.connect(app, autocommit=True) as connection:
        for name in names:
            connection.execute(f"prepare {name} (text, integer) as select * from reco.{name}($1, $2)")

        def ask(name: str, key: str) -> list[tuple]:
            if way == "statement":
                return connection.execute(f"execute {name} ('{key}', 3)").fetchall()
            return connection.execute(f"select * from reco.{name}(%s, %s)", [key, 3], prepare=True).fetchall()

        def check(mark: str) -> None:
            for _ in range(7):
                assert ask("recommend", "user-3") == expected(mark, 3, 3)
                assert {row[3] for row in ask("recommend", "nobody")} == {"popular"}
                assert [row[1] for row in ask("similar_items", f"{mark}-item-3")] == [
                    f"{mark}-item-{n}" for n in range(3)
                ]

        check("a")
        for day, mark in enumerate("bcdefgh", start=2):  # the first ones expire with their tables
            release(world, day, mark)
            check(mark)
        with connect(world) as writer:
            writer.execute("select reco.rollback()")
        check("g")


def test_a_replica_answers_the_same_and_follows(
    world: Settings, app: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    primary = libpq_url(world)
    folder = tmp_path_factory.mktemp("replica") / "postgres"
    with psycopg.connect(primary, autocommit=True) as connection:
        socket = connection.info.host
        source = connection.execute("show data_directory").fetchone()
    subprocess.run(
        [programs(primary) / "pg_basebackup", "-h", socket, "-U", "postgres", "-D", folder, "-R", "-c", "fast"],
        check=True,
        capture_output=True,
    )
    owner = Path(source[0]).stat()
    for lock in folder.glob(".s.PGSQL.*.lock"):  # the embedded server keeps its socket among its data
        lock.unlink()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    replica = app.replace(socket, embedded.start(folder))
    try:
        with psycopg.connect(app) as first, psycopg.connect(replica, autocommit=True) as second:
            assert second.execute("select pg_is_in_recovery()").fetchone() == (True,)
            for query in LOOKUPS:
                rows = second.execute(query).fetchall()
                assert rows and rows == first.execute(query).fetchall()
            release(world, 2, "b")
            deadline = time.monotonic() + 30
            while second.execute("select item_id from reco.recommend('user-0', 1)").fetchone() != ("b-item-0",):
                assert time.monotonic() < deadline, "the replica never showed the new publication"
                time.sleep(0.05)
            assert second.execute("select * from reco.recommend('user-5', 10)").fetchall() == expected("b", 5, 10)
    finally:
        embedded.stop(folder)


def test_a_read_only_session_is_enough(app: str) -> None:
    with psycopg.connect(app, options="-c default_transaction_read_only=on") as connection:
        for query in LOOKUPS:
            assert connection.execute(query).fetchall()


def test_transactions_of_many_clients_on_few_connections(world: Settings, app: str) -> None:
    """What PgBouncer's transaction pooling does: any client's transaction on any connection, nothing else kept."""
    pool = [psycopg.connect(app, prepare_threshold=None) for _ in range(2)]
    rng = np.random.default_rng(0)
    for turn in range(60):
        connection = pool[turn % 2]
        with connection.transaction():
            user = int(rng.integers(20))
            assert connection.execute("select * from reco.recommend(%s, 6)", [f"user-{user}"]).fetchall() == expected(
                "a" if turn < 30 else "b", user, 6
            )
            if turn % 3 == 0:  # a client whose transaction fails
                with pytest.raises(psycopg.errors.UndefinedTable), connection.transaction():
                    connection.execute("select * from reco.nowhere")
        if turn % 7 == 0:  # what session pooling does between clients
            connection.autocommit = True
            connection.execute("discard all")
            connection.autocommit = False
        if turn == 29:
            release(world, 2, "b")
    for connection in pool:
        left = "select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'"
        assert connection.execute(left).fetchone() == (0,)
        assert connection.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)
        assert connection.execute("show plan_cache_mode").fetchone() == ("auto",)
        connection.close()


def test_no_function_keeps_anything_in_the_session(world: Settings) -> None:
    kept = re.compile(
        r"pg_(try_)?advisory_lock|\bcreate\s+temp|\bprepare\b|\blisten\b|\bset\s+session\b|\bwith\s+hold\b"
    )
    with connect(world) as connection:
        bodies = connection.execute(
            """select proname, coalesce(pg_get_function_sqlbody(oid), prosrc)
               from pg_proc where pronamespace = 'reco'::regnamespace"""
        ).fetchall()
    assert {"recommend", "similar_items", "search_items"} <= {name for name, _ in bodies}
    assert [name for name, body in bodies if kept.search(body.lower())] == []


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason="no pgbouncer on PATH")
def test_pgbouncer(app: str, tmp_path: Path) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(app)
    (tmp_path / "users.txt").write_text('"app" ""\n')
    (tmp_path / "pgbouncer.ini").write_text(
        f"[databases]\nreco = host={parts['host']} dbname={parts['dbname']} user=app\n"
        f"[pgbouncer]\nlisten_addr =\nunix_socket_dir = {tmp_path}\nlisten_port = 6543\nauth_type = trust\n"
        f"auth_file = {tmp_path / 'users.txt'}\npool_mode = transaction\ndefault_pool_size = 1\n"
    )
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    tmp_path.chmod(0o777)
    with subprocess.Popen(["pgbouncer", *as_user, str(tmp_path / "pgbouncer.ini")]) as bouncer:
        try:
            deadline = time.monotonic() + 10
            while not (tmp_path / ".s.PGSQL.6543").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            url = f"postgresql://app@/reco?host={tmp_path}&port=6543"
            with psycopg.connect(url, autocommit=True) as first, psycopg.connect(url, autocommit=True) as second:
                for user in range(10):
                    for client in (first, second):
                        rows = client.execute("select * from reco.recommend(%s, 5)", [f"user-{user}"]).fetchall()
                        assert rows == expected("a", user, 5)
        finally:
            bouncer.terminate()


def test_an_id_is_never_sql(app: str) -> None:
    with psycopg.connect(app, autocommit=True) as connection:
        for hostile in HOSTILE:
            if "\u0000" in hostile:
                with pytest.raises(psycopg.DataError):
                    connection.execute("select * from reco.recommend(%s)", [hostile])
                continue
            assert {row[3] for row in connection.execute("select * from reco.recommend(%s)", [hostile])} == {"popular"}
            assert connection.execute("select * from reco.similar_items(%s)", [hostile]).fetchall() == []
            connection.execute("select * from reco.search_items(%s)", [hostile])
        assert connection.execute("select * from reco.recommend('user-1', 2)").fetchall() == expected("a", 1, 2)


def test_a_reader_may_read_no_table_and_change_nothing(world: Settings, app: str) -> None:
    with connect(world) as writer:
        tables = writer.execute(
            "select relname from pg_class where relnamespace = 'reco'::regnamespace and relkind in ('r', 'p')"
        ).fetchall()
    with psycopg.connect(app, autocommit=True) as connection:
        refused = [f"select from reco.{table} limit 0" for (table,) in tables]
        refused += ["select reco.rollback()", "select reco.rollback(1)", "select reco.request_erasure('user-1')"]
        refused += ["set role reco_writer", "create table reco.mine (n int)", "create temp table mine (n int)"]
        for query in refused:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(query)


def test_the_commands(world: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOMMENDER_PROFILE", "synthetic")

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(commands, [*arguments])
        return result.exit_code, result.output

    code, printed = run("recommend", "user-1", "-k", "2", "--json")
    assert code == 0
    assert [(row["item_id"], row["title"], row["creator"], row["reason"]) for row in json.loads(printed)] == [
        ("a-item-9", "Title 9 of a", "Creator 9", "close to what you chose before"),
        ("a-item-0", "Title 0 of a", None, "because of a"),
    ]
    for arguments in (["recommend", "user-1"], ["similar", "a-item-1"], ["taste", "a-item-1", "a-item-2"]):
        code, printed = run(*arguments)
        assert code == 0
        assert "Title 3 of a" in printed or "Title 0 of a" in printed
    code, printed = run("similar", "unknown")
    assert (code, printed.count("\n")) == (2, 1)
