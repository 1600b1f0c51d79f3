"""Starting, finding again and stopping child processes."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from recommender.local import processes
from recommender.local.processes import Child, Roster

SLEEPER = "import time; time.sleep(600)"
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def start(code: str, log: Path) -> Child:
    return processes.start("child", [sys.executable, "-c", code], os.environ, log)


def test_a_child_runs_in_a_session_of_its_own_and_stops_on_request(tmp_path: Path) -> None:
    child = start(SLEEPER, tmp_path / "logs" / "child.log")
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    processes.stop([child], grace_seconds=10)
    assert child.process() is None
    processes.stop([child], grace_seconds=10)


def test_what_does_not_listen_is_killed_with_all_it_started(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    child = start(STUBBORN, log)
    deadline = time.monotonic() + 10
    while not log.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    grandchild = int(log.read_text())
    processes.stop([child], grace_seconds=0.2)
    assert child.process() is None
    assert not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    child = start("print('hello')", tmp_path / "child.log")
    psutil.wait_procs([psutil.Process(child.pid)], timeout=10)
    assert (tmp_path / "child.log").read_text() == "hello\n"


def test_another_process_with_the_same_number_is_not_ours() -> None:
    mine = processes.this_process()
    assert mine.process() is not None
    assert Child(mine.name, mine.pid, mine.created - 5, mine.log).process() is None


def test_a_roster_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "processes.json"
    roster = Roster(processes.this_process(), 8080, (processes.this_process("a.log"),))
    roster.write(path)
    assert Roster.read(path) == roster
    assert roster.watched
    assert roster.alive() == list(roster.children)


@pytest.mark.parametrize("content", ["", '{"port": 1', '{"port": 1}', '{"owner": 1, "children": [1]}'])
def test_a_damaged_roster_is_no_roster(tmp_path: Path, content: str) -> None:
    path = tmp_path / "processes.json"
    path.write_text(content)
    assert Roster.read(path) is None


def test_no_roster(tmp_path: Path) -> None:
    assert Roster.read(tmp_path / "processes.json") is None
