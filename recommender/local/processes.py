"""Child processes in sessions of their own, remembered in a file, so that a later command can find and stop them."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

_SAME_START_SECONDS = 0.05
"""The kernel's clock ticks are 10 ms: two looks at one process differ by less than this."""


@dataclass(frozen=True)
class Child:
    """One process; its start time tells it from a later process with the same number."""

    name: str
    pid: int
    created: float
    """Seconds since the epoch."""
    log: str
    """Where its output goes."""

    def process(self) -> psutil.Process | None:
        """The live process, or None when it is gone or its number belongs to another one now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < _SAME_START_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None


@dataclass(frozen=True)
class Roster:
    """What runs for one world, as kept in its file."""

    owner: Child | None
    """The command that watches the rest; None where they were left to run in the background."""
    port: int
    children: tuple[Child, ...]

    @property
    def watched(self) -> bool:
        """True while the command that started the children is there to stop them."""
        return self.owner is not None and self.owner.process() is not None

    def alive(self) -> list[Child]:
        return [child for child in self.children if child.process() is not None]

    def write(self, path: Path) -> None:
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=1))
        temporary.replace(path)

    @staticmethod
    def read(path: Path) -> "Roster | None":
        """The kept roster; None when there is none, or the file was cut short by a crash."""
        try:
            content = json.loads(path.read_text())
            owner = Child(**content["owner"]) if content["owner"] else None
            children = tuple(Child(**child) for child in content["children"])
            return Roster(owner=owner, port=content["port"], children=children)
        except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
            return None


def this_process(log: str = "") -> Child:
    """The calling process as a `Child`."""
    return Child("supervisor", os.getpid(), psutil.Process().create_time(), log)


def start(name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
    """Start `command` in a session of its own, its output going to `log`; a Ctrl-C here does not reach it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Child(name, process.pid, psutil.Process(process.pid).create_time(), str(log))


def stop(children: Sequence[Child], grace_seconds: float) -> None:
    """SIGTERM each child; after the grace, SIGKILL it and everything it started.

    Descendants are collected first: a process that outlives its parent can no longer be found through it.
    """
    processes = [process for child in children if (process := child.process()) is not None]
    family = _family(processes)
    for process in processes:
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    psutil.wait_procs(processes, timeout=grace_seconds)
    for process in processes:
        family |= _family([process])
    _, left = psutil.wait_procs(list(family), timeout=max(0.0, min(1.0, deadline - time.monotonic())))
    for process in left:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(left, timeout=5)


def _family(processes: Sequence[psutil.Process]) -> set[psutil.Process]:
    family = set(processes)
    for process in processes:
        try:
            family.update(process.children(recursive=True))
        except psutil.NoSuchProcess:
            continue
    return family


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
