"""A real Airflow on this machine: api-server, scheduler and dag-processor, with their metadata in PostgreSQL.

    with LocalAirflow(settings) as airflow:
        airflow.client.set_paused("nightly", False)

Its home is `<world>/airflow`: secrets (mode 0600), one log file a component, and the tasks' own logs.
"""

import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from recommender.config.settings import Settings
from recommender.errors import NotReadyError
from recommender.local import processes
from recommender.local.client import AirflowClient
from recommender.local.environment import ADMIN, DAGS, HOST, admin_password, airflow_environment
from recommender.local.metadata import metadata_url, migrate
from recommender.local.processes import Child, Roster

POOLS = {"gpu": 1}
"""Slots of each pool the Dags name; a task whose pool does not exist is never started."""

_PREFERRED_PORT = 8080
_START_SECONDS = 180.0
_GRACE_SECONDS = 5.0
"""An idle Airflow stops in 2 s; a busy scheduler would wait for its tasks, however long they take."""
_COMPONENTS = {
    "api-server": ("api-server", "--workers", "1"),
    "scheduler": ("scheduler", "--skip-serve-logs"),  # the UI reads the tasks' logs from the same disk
    "dag-processor": ("dag-processor",),
}


class LocalAirflow:
    """Starts, watches and stops one world's Airflow."""

    def __init__(self, settings: Settings, overrides: Mapping[str, str] | None = None) -> None:
        """`overrides` are environment variables for Airflow and its tasks, such as `RECOMMENDER__…` settings."""
        self.settings = settings
        self.home = settings.world / "airflow"
        self._overrides = dict(overrides or {})
        self._children: tuple[Child, ...] = ()
        self._client: AirflowClient | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._port}"

    @property
    def client(self) -> AirflowClient:
        """Talks to the running Airflow."""
        if self._client is None:
            self._client = AirflowClient(self.url, ADMIN, admin_password(self.home))
        return self._client

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every component and wait until all are healthy; on a failure none is left running.

        Raises
        ------
        NotReadyError
            This world's Airflow runs already, a component stopped, or was not healthy in time.
        DatabaseError
            The metadata database cannot be reached, created or migrated.
        """
        if not DAGS.is_dir():
            raise NotReadyError(f"no Dags at {DAGS}: run from a checkout, with the package installed from it")
        self._refuse_second()
        self.home.mkdir(parents=True, exist_ok=True)
        self._port = _free_port()
        environment = airflow_environment(self.settings, self.home, self._port, metadata_url(self.settings))
        environment |= self._overrides
        migrate(self.home, environment)
        try:
            for name, arguments in _COMPONENTS.items():
                command = [sys.executable, "-m", "airflow", *arguments]
                self._children += (processes.start(name, command, environment, self.home / f"{name}.log"),)
                Roster(processes.this_process(), self._port, self._children).write(_roster_file(self.home))
            self._wait_until_healthy()
            for name, slots in POOLS.items():
                self.client.ensure_pool(name, slots)
        except BaseException:
            self.stop()
            raise

    def leave_running(self) -> None:
        """Let every component go on after this process ends."""
        Roster(None, self._port, self._children).write(_roster_file(self.home))

    def attach(self) -> bool:
        """Use the Airflow that another command left running for this world; False when there is none."""
        roster = Roster.read(_roster_file(self.home))
        if roster is None or roster.owner is not None or len(roster.alive()) < len(_COMPONENTS):
            return False
        self._children, self._port = roster.children, roster.port
        return not self.client.unhealthy()

    def check(self) -> None:
        """Raise NotReadyError when a component has stopped on its own."""
        for child in self._children:
            if child.process() is None:
                raise NotReadyError(
                    f"Airflow's {child.name} stopped by itself ({_last_line(child.log)}): see {child.log}"
                )

    def stop(self) -> None:
        """Stop every component. Running tasks too: every stage can be run again."""
        if self._client is not None:
            self._client.close()
            self._client = None
        stop_airflow(self.home)
        self._children = ()

    def _refuse_second(self) -> None:
        roster = Roster.read(_roster_file(self.home))
        if roster is None or not roster.alive():
            return
        if roster.watched and roster.owner is not None:
            raise NotReadyError(
                f"process {roster.owner.pid} runs Airflow in {self.home} right now: wait for it or stop it"
            )
        if roster.owner is None and len(roster.alive()) == len(_COMPONENTS):
            raise NotReadyError(f"Airflow is up already at http://{HOST}:{roster.port}: stop it with `make down`")
        stop_airflow(self.home)  # leftovers of a killed command

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while unhealthy := self.client.unhealthy():
            self.check()
            if time.monotonic() > deadline:
                logs = ", ".join(str(self.home / f"{name}.log") for name in unhealthy)
                raise NotReadyError(f"Airflow was not healthy after {_START_SECONDS:.0f} s: see {logs}")
            time.sleep(0.25)


def stop_airflow(home: Path) -> bool:
    """Stop the Airflow of `home`, whoever started it; False when none was running."""
    file = _roster_file(home)
    roster = Roster.read(file)
    alive = roster.alive() if roster is not None else []
    processes.stop(alive, _GRACE_SECONDS)
    file.unlink(missing_ok=True)
    return bool(alive)


def _roster_file(home: Path) -> Path:
    return home / "processes.json"


def _free_port() -> int:
    """8080, or whatever the system gives where that is taken."""
    for port in (_PREFERRED_PORT, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
            try:
                listener.bind((HOST, port))
            except OSError:
                continue
            chosen: int = listener.getsockname()[1]
            return chosen
    raise NotReadyError(f"no free port on {HOST}")


def _last_line(log: str) -> str:
    lines = [line.strip() for line in Path(log).read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "no output"
