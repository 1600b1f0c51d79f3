import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from recommender.config.optimisation import Optimised
from recommender.training.checkpoint import Checkpoints, discard, identity
from tests.training.unsteady import BATCHES, CONFIG, digest, unsteady_fit

LONG = 60.0
"""Minutes in which no checkpoint within an epoch is due."""


def kill(folder: Path, epoch: int, batch: int) -> None:
    """Start a fit and kill it when it gets there."""
    command = [sys.executable, "-m", "tests.training.unsteady", str(folder), str(epoch), str(batch)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "now\n"
        process.kill()
        assert process.wait() == -9


def test_killed_twice_and_continued_gives_the_weights_of_a_fit_left_alone(tmp_path: Path) -> None:
    alone, report = unsteady_fit(None)
    assert 1 < report.epochs < len(report.history)  # the weights that are kept are of an epoch before the last kill
    kill(tmp_path, 2, 3)  # in the middle of an epoch
    assert max(path.name for path in tmp_path.iterdir()) == "00001-00000002"
    kill(tmp_path, 4, 0)  # between two
    assert max(path.name for path in tmp_path.iterdir()) == "00003-00000000"
    assert digest(unsteady_fit(tmp_path)[0]) == digest(alone)


@pytest.mark.parametrize("minutes", [1e-9, LONG])
@pytest.mark.parametrize("at", [(1, 1), (2, 4), (3, 0), (6, 4)])
def test_interrupted_anywhere(at: tuple[int, int], minutes: float, tmp_path: Path) -> None:
    alone, undisturbed = unsteady_fit(None)
    interrupted(tmp_path, at, minutes)
    lines: list[str] = []
    module, report = unsteady_fit(tmp_path, progress=lines.append, minutes=minutes)
    assert digest(module) == digest(alone)
    assert without_time(report.history) == without_time(undisturbed.history)
    going_on = [line for line in lines if line.startswith("going on")]
    done = (at[0] - 1, 2 * (at[1] // 2) if minutes < LONG else 0)
    within = f", {done[1]} batches" if done[1] else ""
    assert going_on == ([f"going on after epoch {done[0]}{within}: {tmp_path}"] if done != (0, 0) else [])


def interrupted(folder: Path, at: tuple[int, int], minutes: float = LONG, **keys: object) -> None:
    """Like a kill, within this process: nothing of the fit is left but the folder."""

    class Kill(BaseException):
        pass

    class Stop:
        def __eq__(self, place: object) -> bool:
            if place == at:
                raise Kill
            return False

        __hash__ = None  # type: ignore[assignment]

    with pytest.raises(Kill):
        unsteady_fit(folder, Stop(), minutes=minutes, **keys)  # type: ignore[arg-type]


def without_time(history: list[dict[str, float]]) -> list[dict[str, float]]:
    timed = {"seconds", "examples_per_second"}
    return [{key: value for key, value in entry.items() if key not in timed} for entry in history]


def flip(path: Path) -> None:
    content = bytearray((path / "state.safetensors").read_bytes())
    content[-100] ^= 1
    (path / "state.safetensors").write_bytes(bytes(content))


def cut(path: Path) -> None:
    content = (path / "state.json").read_bytes()
    (path / "state.json").write_bytes(content[: len(content) // 2])


def forget_checksums(path: Path) -> None:
    (path / "checksums.json").unlink()


def empty(path: Path) -> None:
    for file in path.iterdir():
        file.write_bytes(b"")


@pytest.mark.parametrize("damage", [flip, cut, forget_checksums, empty])
def test_a_torn_checkpoint_is_put_aside_for_the_one_before(damage: Callable[[Path], None], tmp_path: Path) -> None:
    alone, _ = unsteady_fit(None)
    interrupted(tmp_path, (4, 1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00002-00000000", "00003-00000000"]
    damage(tmp_path / "00003-00000000")
    lines: list[str] = []
    module, _ = unsteady_fit(tmp_path, progress=lines.append, minutes=LONG)
    assert digest(module) == digest(alone)
    assert lines[0].startswith(f"a checkpoint is put aside as {tmp_path}/torn-00003-00000000: ")
    assert lines[1] == f"going on after epoch 2: {tmp_path}"


def test_when_all_are_torn_the_fit_starts_afresh(tmp_path: Path) -> None:
    interrupted(tmp_path, (3, 0))
    for path in list(tmp_path.iterdir()):
        empty(path)
    lines: list[str] = []
    module, _ = unsteady_fit(tmp_path, progress=lines.append, minutes=LONG)
    assert digest(module) == digest(unsteady_fit(None)[0])
    assert lines[2].startswith("epoch 1/6")


def test_half_a_write_is_nothing(tmp_path: Path) -> None:
    interrupted(tmp_path, (3, 0))
    half = tmp_path / ".writing-00009-00000000-1234"
    half.mkdir()
    (half / "state.safetensors").write_bytes(b"half")
    assert digest(unsteady_fit(tmp_path, minutes=LONG)[0]) == digest(unsteady_fit(None)[0])
    assert not half.exists()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"target": 4.0}, "of other data: starting afresh"),
        ({"config": CONFIG.model_copy(update={"learning_rate": 0.01})}, "is of another fit"),
    ],
)
def test_the_checkpoint_of_another_fit_is_not_used(keys: dict[str, object], said: str, tmp_path: Path) -> None:
    interrupted(tmp_path, (3, 0))
    lines: list[str] = []
    module, _ = unsteady_fit(tmp_path, progress=lines.append, minutes=LONG, **keys)  # type: ignore[arg-type]
    assert digest(module) == digest(unsteady_fit(None, **keys)[0])  # type: ignore[arg-type]
    assert said in lines[0]


def test_a_fit_that_had_ended_gives_its_weights_again(tmp_path: Path) -> None:
    first, report = unsteady_fit(tmp_path, config=CONFIG.model_copy(update={"patience": 1}))
    lines: list[str] = []
    second, again = unsteady_fit(tmp_path, config=CONFIG.model_copy(update={"patience": 1}), progress=lines.append)
    assert digest(first) == digest(second)
    assert report == again
    assert not any(line.startswith("epoch") for line in lines)


def test_only_the_last_two_are_kept_and_nothing_is_pickled(tmp_path: Path) -> None:
    (tmp_path / "0-a-part").mkdir()  # of a model that is fitted in parts
    unsteady_fit(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0-a-part", f"00005-{BATCHES:08}", "00006-00000000"]
    assert {path.name for path in tmp_path.rglob("*.*")} == {"state.safetensors", "state.json", "checksums.json"}
    assert json.loads((tmp_path / "00006-00000000" / "state.json").read_text())["state"]["epoch"] == 6
    discard(tmp_path)
    assert not tmp_path.exists()
    discard(tmp_path)
    discard(None)


def test_identity_is_of_weights_and_settings() -> None:
    module = nn.Linear(2, 1)
    known = identity(module, Optimised().model_dump(), None)
    assert known == identity(module, Optimised().model_dump(), None)
    assert known != identity(module, Optimised().model_dump(), 3)
    with torch.no_grad():
        module.bias += 1e-6
    assert known != identity(module, Optimised().model_dump(), None)


def test_without_a_folder_nothing_is_kept() -> None:
    checkpoints = Checkpoints(None, "", 1e-9, print)
    checkpoints.save("00001-00000000", {}, {})
    assert checkpoints.latest() is None
    assert not checkpoints.due
