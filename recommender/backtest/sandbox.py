"""A world of its own for every backtest, beside the one it asks about: lake, artifacts and an embedded PostgreSQL.

Only the source files are shared with the world that serves.
"""

import fcntl
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from recommender.backtest.plan import Plan
from recommender.config.policy import Policy, load_policy
from recommender.config.settings import Settings
from recommender.data.erasures import list_path
from recommender.errors import ConfigError, NotReadyError
from recommender.storage import embedded

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")
_HASH = 8


@dataclass(frozen=True)
class Sandbox:
    """Where one backtest runs."""

    name: str
    settings: Settings
    """Of its own world; the policy in question is their gate's."""
    live: Settings
    """Of the world it stands beside."""
    policy: Policy
    """What decides in it."""
    identity: dict[str, str]
    """What makes it this backtest and no other, by what people call it."""

    @property
    def folder(self) -> Path:
        return self.settings.home

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep other processes out while the block runs, and stop the sandbox's PostgreSQL at its end.

        Raises
        ------
        ConfigError
            The folder is of another backtest.
        NotReadyError
            Another process is at work in it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise NotReadyError(f"backtest {self.name} is being run by another process") from None
            self._claim()
            try:
                yield
            finally:
                embedded.stop(self.settings.postgres)

    def _claim(self) -> None:
        known = self.folder / "identity.json"
        if known.is_file():
            kept = json.loads(known.read_text(encoding="utf-8"))
            other = [what for what, value in self.identity.items() if kept.get(what) != value]
            if other:
                raise ConfigError(
                    f"backtest {self.name} is of another {' and '.join(other)}: "
                    f"give a --name of its own, or delete {self.folder}"
                )
            return
        erased = list_path(self.live)
        if erased.is_file():  # who was erased from the world stays out of this one
            self.settings.world.mkdir(parents=True, exist_ok=True)
            shutil.copy(erased, list_path(self.settings))
        scratch = known.with_suffix(".tmp")
        scratch.write_text(json.dumps(self.identity, indent=1), encoding="utf-8")
        scratch.replace(known)


def sandbox_for(settings: Settings, plan: Plan, policy: Path | None, name: str | None) -> Sandbox:
    """The sandbox of a backtest; without a name it is called by the policy's and a hash of its identity.

    Raises
    ------
    ConfigError
        The policy can't be read, or the name can't be a folder's.
    """
    gate = settings.profile.gate
    gate = gate if policy is None else gate.model_copy(update={"policy": policy.absolute()})
    profile = settings.profile.model_copy(update={"gate": gate})
    rules = load_policy(gate.policy)
    identity = {
        "profile": _hash(profile.model_dump_json(exclude={"gate": {"policy"}})),
        "policy": rules.version,
        "data": str(settings.data),
        "list of erased users": _hash(_content(list_path(settings))),
        "--from": str(plan.first),
        "--every": str(plan.every),
        "--days": str(plan.days),
    }
    if name is None:
        name = f"{re.sub('[^A-Za-z0-9]+', '-', rules.name)[:40].strip('-') or 'policy'}-{_hash(json.dumps(identity))}"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"--name {name!r} can't name a folder: up to 60 letters, digits, - and _")
    home = settings.backtests / name
    own = replace(settings, profile=profile, home=home, database_url=None)
    return Sandbox(name, own, settings, rules, identity)


def _content(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH]
