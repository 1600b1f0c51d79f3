"""Stages share a world, an erasure has it alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from recommender.errors import NotReadyError
from recommender.storage.world_lock import alone, shared

HOLD = """
import sys, time
from pathlib import Path
from recommender.storage.world_lock import alone, shared
with {kind}:
    print("held", flush=True)
    time.sleep(60)
"""


def test_stages_run_side_by_side_and_keep_an_erasure_out(tmp_path: Path) -> None:
    with (
        shared(tmp_path),
        shared(tmp_path),
        pytest.raises(NotReadyError, match="a stage of the night still runs after 0 s: the request is kept"),
        alone(tmp_path, 0),
    ):
        pass
    with alone(tmp_path, 0), pytest.raises(NotReadyError), alone(tmp_path, 0):
        pass
    with shared(tmp_path):
        pass


def test_a_lock_ends_with_its_process_and_whoever_waits_goes_on(tmp_path: Path) -> None:
    code = HOLD.format(kind=f"shared(Path({str(tmp_path)!r}))")
    lines: list[str] = []
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(NotReadyError), alone(tmp_path, 0.3, lines.append):
            pass
        process.kill()
        with alone(tmp_path, 30):
            pass
    assert lines == ["waiting for the running stage to end"]
