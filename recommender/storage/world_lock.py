"""One lock a world: the stages of a night share it, an erasure needs it alone.

A file lock (`flock`), so that it ends with its process however that dies. Hosts that share a world need a file
system that knows such locks, as NFS 4 does.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recommender.errors import NotReadyError, RecommenderError
from recommender.progress import Progress, quiet

_FILE = ".lock"
_POLL_SECONDS = 0.2


@contextmanager
def shared(world: Path) -> Iterator[None]:
    """Keep erasures out while the block runs; waits for one that is at work."""
    with _locked(world) as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
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
def _locked(world: Path) -> Iterator[int]:
    world.mkdir(parents=True, exist_ok=True)
    try:
        file = (world / _FILE).open("w")
    except OSError as error:
        raise RecommenderError(f"cannot write {world / _FILE}: {error.strerror or error}") from None
    with file:  # closing it releases the lock
        yield file.fileno()
