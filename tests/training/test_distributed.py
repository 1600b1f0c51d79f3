import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from recommender.training.distributed import is_first, shard, world
from tests.models.worlds import checkerboard, truth_of
from tests.training.many import CONFIG, SIZES, fit

SCRIPT = "tests.training.many"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes that torchrun started have left."""
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", SCRIPT]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, str(folder)], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def weights(folder: Path, rank: int) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = load_file(folder / f"weights-{rank}.safetensors")
    return loaded


def test_both_end_with_the_same_weights_and_one_speaks(two: Path) -> None:
    first, second = weights(two, 0), weights(two, 1)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    lines = (two / "lines-0.txt").read_text()
    assert lines.count("epoch ") == CONFIG.max_epochs + 1
    assert (two / "lines-1.txt").read_text() == ""


def test_two_processes_step_like_one_that_accumulates_two_batches(two: Path) -> None:
    alone, _, _ = fit(CONFIG.model_copy(update={"accumulate": 2}))
    both = weights(two, 0)
    for name, value in alone.named_parameters():
        torch.testing.assert_close(both[name], value.detach(), rtol=1e-3, atol=1e-4)


def test_two_processes_reach_the_quality_of_one(two: Path) -> None:
    vectors = [np.load(two / f"vectors-{rank}.npz") for rank in (0, 1)]
    for name in ("users", "items"):
        np.testing.assert_array_equal(vectors[0][name], vectors[1][name])
    dataset = checkerboard()
    truth = truth_of(dataset)
    scores = vectors[0]["users"][truth.users] @ vectors[0]["items"].T
    scores[dataset.seen[truth.users].toarray() > 0] = -np.inf
    top = np.argsort(-scores, axis=1)[:, : truth.relevant[0].nnz]
    hits = np.take_along_axis(truth.relevant.toarray(), top, axis=1)
    assert hits.mean() > 0.97


NOBODY = (-1, 0)


def ended(folder: Path, dies: tuple[int, int]) -> tuple[list[int], list[str]]:
    """How two processes end that no torchrun watches, and what they say then."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", SCRIPT, str(folder), *map(str, dies)],
            env=os.environ | together | {"RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    errors = [process.communicate(timeout=100)[1] for process in running]
    return [process.returncode for process in running], errors


def test_when_one_dies_the_other_says_so_and_together_they_go_on(two: Path, tmp_path: Path) -> None:
    codes, errors = ended(tmp_path, dies=(1, 3))
    assert codes == [1, -9]
    assert "TrainingError: another process of this training died or hung" in errors[0]
    codes, errors = ended(tmp_path, NOBODY)
    assert codes == [0, 0], errors
    for rank in (0, 1):
        undisturbed, again = weights(two, rank), weights(tmp_path, rank)
        assert all(torch.equal(undisturbed[name], again[name]) for name in undisturbed)
    assert (tmp_path / "lines-0.txt").read_text().startswith("going on after epoch 2: ")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_cover_everything_once(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(size))
    shares = []
    for rank in range(size):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(list(shard(SIZES)))
        assert is_first() == (rank == 0)
    assert sorted(size for share in shares for size in share) == sorted(SIZES)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_where_nobody_says_otherwise() -> None:
    assert (world().rank, world().size) == (0, 1)
    assert is_first()
    assert list(shard("abc")) == ["a", "b", "c"]
