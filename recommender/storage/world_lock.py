"""One lock a world: the stages of a night share it, an erasure needs it alone. Who lands a night holds a second one.

File locks (`flock`), so that they end with their process however that dies. Hosts that share a world need a file
system that knows such locks, as NFS 4 does.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recommender.errors import NotReadyError, RecommenderError
from recommender.progress import Progress, quiet

_FILE, _LANDING_FILE = ".lock", ".landing.lock"
_POLL_SECONDS = 0.2


@contextmanager
def shared(world: Path) -> Iterator[None]:
    """Keep erasures out while the block runs; waits for one that is at work."""
    with _locked(world) as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def landing_lock(world: Path, progress: Progress = quiet) -> Iterator[None]:
    """Keep other ingests out while the block runs; waits for one that is at work."""
    with _locked(world, _LANDING_FILE) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another ingest to end")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def alone(world: Path, wait_seconds: float, progress: Progress = quiet) -> Iterator[None]:
    """Keep every stage out while the block runs.

    Raises
    ------
    NotReadyError
        A stage, or another erasure, was still running after `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    waiting = False
    with _locked(world) as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                pass
            if time.monotonic() >= deadline:
                raise NotReadyError(
                    f"a stage of the night still runs after {wait_seconds:.0f} s: the request is kept, "
                    "run `recommender erase` when the night is done"
                )
            if not waiting:
                progress("waiting for the running stage to end")
                waiting = True
            time.sleep(_POLL_SECONDS)
        yield


@contextmanager
def _locked(world: Path, name: str = _FILE) -> Iterator[int]:
    world.mkdir(parents=True, exist_ok=True)
    try:
        file = (world / name).open("w")
    except OSError as error:
        raise RecommenderError(f"cannot write {world / name}: {error.strerror or error}") from None
    with file:  # closing it releases the lock
        yield file.fileno()
