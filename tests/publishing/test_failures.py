"""Whatever dies, and whenever: readers have the old publication or the new one, and the same command again succeeds."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg import sql

from recommender import pipeline
from recommender.config.settings import Settings, load_settings
from recommender.errors import DatabaseError, NotReadyError
from recommender.publishing import staging
from recommender.publishing.publication import publish
from recommender.storage import embedded
from recommender.storage.copy_arrays import Buffer
from recommender.storage.postgres import connect
from tests.publishing.contents import MODEL, made, register_model

NIGHTS = [date(2020, 1, day) for day in range(1, 12)]
BLOCK = "a block of rows was sent"


def release(settings: Settings, night: date, mark: str, users: int = 20, keep: int = 5) -> None:
    with connect(settings, autocommit=True) as connection:
        publish(connection, night, MODEL, mark, lambda: made(mark, users), keep)


def shown(settings: Settings) -> set[str]:
    """Marks of what a reader is shown."""
    with connect(settings) as connection:
        rows = connection.execute("select item_id from reco.recommend('user-1', 10)").fetchall()
    assert len(rows) == 10
    return {item.partition("-")[0] for (item,) in rows}


def statuses(settings: Settings) -> dict[str, str]:
    with connect(settings) as connection:
        return dict(connection.execute("select fingerprint, status from reco.publications").fetchall())


def left_over(settings: Settings) -> set[str]:
    """Tables of publications that are not known any more."""
    with connect(settings) as connection:
        return {
            name
            for (name,) in connection.execute(
                r"""select tablename from pg_tables
                    where schemaname = 'reco' and tablename ~ '_\d+$'
                      and substring(tablename from '\d+$')::bigint
                          not in (select publication_id from reco.publications)"""
            )
        }


def at_statement(act: Callable[[], None], text: str, number: int = 1, *, after: bool = False) -> None:
    """Do something at the `number`-th statement that has the text; in this process, for good."""
    execute, met = psycopg.Connection.execute, [0]

    def watched(connection: psycopg.Connection, query: object, *rest: object) -> object:
        words = query.as_string(connection) if isinstance(query, sql.Composable) else str(query)
        met[0] += text in words
        due = text in words and met[0] == number
        if due and not after:
            act()
        result = execute(connection, query, *rest)  # type: ignore[arg-type]
        if due and after:
            act()
        return result

    psycopg.Connection.execute = watched  # type: ignore[method-assign,assignment]


def at_second_block(act: Callable[[], None]) -> Callable[..., Iterator[Buffer]]:
    """Blocks of lists as ever, and something done when one was sent."""
    encoded = staging.list_blocks

    def blocks(*given: object) -> Iterator[Buffer]:
        for block in encoded(*given):  # type: ignore[arg-type]
            yield block
            yield b""  # this is asked for while the first is sent, and what follows after that
            act()

    return blocks


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def doomed(settings: Settings, at: tuple[str, int, bool]) -> None:
    text, number, after = at
    if text == BLOCK:
        staging.list_blocks = at_second_block(die)
    else:
        at_statement(die, text, number, after=after)
    release(settings, NIGHTS[1], "new")


@pytest.mark.parametrize(
    ("at", "then"),
    [
        (("create table", 1, True), "old"),
        ((BLOCK, 1, False), "old"),
        (("add primary key", 2, False), "old"),
        (("analyze", 1, True), "old"),
        (("set checks", 1, True), "old"),
        (("attach partition", 3, False), "old"),
        (("activated_at = now()", 1, False), "old"),
        (("activated_at = now()", 1, True), "old"),
        (("where status = 'retired' and publication_id <>", 1, False), "new"),
    ],
    ids=lambda given: given if isinstance(given, str) else f"{given[0]}-{given[1]}{'-done' if given[2] else ''}",
)
def test_a_loader_killed_at_any_step_leaves_the_old_or_the_new(
    world: Settings, at: tuple[str, int, bool], then: str
) -> None:
    release(world, NIGHTS[0], "old")
    loader = multiprocessing.get_context("fork").Process(target=doomed, args=(world, at))
    loader.start()
    loader.join()
    assert loader.exitcode == -signal.SIGKILL
    assert shown(world) == {then}
    release(world, NIGHTS[1], "new")
    assert shown(world) == {"new"}
    assert statuses(world) == {"old": "retired", "new": "live"}
    assert left_over(world) == set()


@pytest.fixture
def own_server(home: Path) -> Iterator[Settings]:
    """A world with a server of its own, that may be hurt."""
    settings = load_settings("synthetic")
    register_model(settings, NIGHTS[0])
    yield settings
    embedded.stop(settings.postgres)


def postmaster(settings: Settings) -> psutil.Process:
    return psutil.Process(int((settings.postgres / "postmaster.pid").read_text().splitlines()[0]))


def test_a_server_that_goes_down_in_a_load_and_comes_back(
    own_server: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(own_server, NIGHTS[0], "old")

    def stop() -> None:
        server = postmaster(own_server)
        server.send_signal(signal.SIGQUIT)  # PostgreSQL's immediate shutdown: nothing is written any more
        server.wait(30)

    with monkeypatch.context() as patch:
        patch.setattr(staging, "list_blocks", at_second_block(stop))
        with pytest.raises(DatabaseError) as failure:
            release(own_server, NIGHTS[1], "new")
    assert "\n" not in str(failure.value)
    assert shown(own_server) == {"old"}
    assert statuses(own_server) == {"old": "live", "new": "staging"}
    release(own_server, NIGHTS[1], "new")
    assert shown(own_server) == {"new"}
    assert statuses(own_server) == {"old": "retired", "new": "live"}
    assert left_over(own_server) == set()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=777", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("file systems can't be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_one_line_and_nothing_is_lost(own_server: Settings, small_disk: Path) -> None:
    release(own_server, NIGHTS[0], "old")
    url = embedded.url(embedded.start(own_server.postgres))
    space = small_disk / "space"
    space.mkdir()
    owner = (own_server.postgres / "PG_VERSION").stat()
    os.chown(space, owner.st_uid, owner.st_gid)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("create tablespace small location {}").format(sql.Literal(str(space))))
        connection.execute("grant create on tablespace small to public")
        # what is loaded from now on lies there
        connection.execute("alter role reco_writer set default_tablespace = 'small'")
        connection.execute("alter database recommender set default_tablespace = 'small'")
    with pytest.raises(DatabaseError, match="No space left on device") as failure:
        release(own_server, NIGHTS[1], "new", users=60_000)
    assert "\n" not in str(failure.value)
    assert shown(own_server) == {"old"}
    release(own_server, NIGHTS[1], "new", users=200)
    assert shown(own_server) == {"new"}
    assert statuses(own_server) == {"old": "retired", "new": "live"}
    assert left_over(own_server) == set()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter database recommender reset default_tablespace")


def test_publishers_at_once_take_turns(world: Settings) -> None:
    with ThreadPoolExecutor() as publishers:
        nights = (0, 1, 2, 1)
        for done in [publishers.submit(release, world, NIGHTS[n], f"n{n}", users=500) for n in nights]:
            done.result()
    assert shown(world) == {"n2"}
    assert list(statuses(world).values()).count("live") == 1
    assert left_over(world) == set()


def test_rollbacks_while_publications_go_live(world: Settings) -> None:
    for number in range(2):
        release(world, NIGHTS[number], f"n{number}")
    stop = threading.Event()

    def roll_back() -> int:
        done = 0
        while not stop.is_set():
            with contextlib.suppress(NotReadyError):  # as far back as it goes
                pipeline.rollback(world)
                done += 1
        return done

    with ThreadPoolExecutor(max_workers=1) as operator:
        rollbacks = operator.submit(roll_back)
        try:
            for number in range(2, 6):
                release(world, NIGHTS[number], f"n{number}", users=300, keep=3)
                assert len(shown(world)) == 1
                assert list(statuses(world).values()).count("live") == 1
        finally:
            stop.set()
    assert rollbacks.result() >= 1
    assert left_over(world) == set()
