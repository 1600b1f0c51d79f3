"""What each of several processes trains, and leaves in files.

torchrun --standalone --nproc-per-node 2 -m tests.training.many FOLDER [RANK EPOCH]

With a rank and an epoch, that process dies when that epoch begins; without them two towers are trained as well.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from recommender.config.optimisation import Optimised
from recommender.config.training import Training
from recommender.models.towers import IdEmbedding
from recommender.training.distributed import shard, world
from recommender.training.fitting import fit_module, seeded

CONFIG = Optimised(batch_size=4, learning_rate=0.05, max_epochs=4, patience=4, schedule="linear")
SIZES = (4, 6, 3, 5, 7)
"""Examples of an epoch's batches: two processes share five."""


class Tables(nn.Module):
    """A sparse table, a dense one whose rows are kept short, and running statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.sparse, self.dense = nn.Embedding(12, 3, sparse=True), IdEmbedding(12, 3, max_norm=1.2)
        self.out = nn.Linear(6, 1)
        self.seldom = nn.Parameter(torch.ones(1))
        self.norm = nn.BatchNorm1d(1, affine=False)

    def loss(self, rows: Tensor) -> Tensor:
        out = self.out(torch.cat([self.sparse(rows), self.dense(rows)], dim=1))
        self.norm(out)
        if len(rows) == SIZES[-1]:  # only one process has a gradient for it, and only in the last step
            out = out * self.seldom
        return (out.squeeze(1) - rows / 4).square().mean()


def fit(
    config: Optimised, folder: Path | None = None, dies: tuple[int, int] | None = None
) -> tuple[Tables, list[str], list[float]]:
    lines: list[str] = []
    with seeded(Training(seed=2, device="cpu")):
        torch.manual_seed(world().rank)  # processes that start from different weights, which none should
        module = Tables()

        def epoch_losses(epoch: int) -> Iterator[tuple[Tensor, int]]:
            if (world().rank, epoch) == dies:
                os.kill(os.getpid(), signal.SIGKILL)
            rng = np.random.default_rng(epoch)
            batches = [torch.from_numpy(rng.integers(0, 12, size)) for size in SIZES]
            for rows in shard(batches):
                yield module.loss(rows), len(rows)

        report = fit_module(
            module,
            epoch_losses,
            config,
            Training(seed=2, device="cpu"),
            validate=lambda: 1 / (1 + module.sparse.weight.square().sum().item()),
            batches=len(SIZES),
            checkpoints=folder,
            progress=lines.append,
        )
    return module, lines, [entry["loss"] for entry in report.history]


def main(folder: Path, dies: tuple[int, int] | None) -> None:
    rank = world().rank
    module, lines, _ = fit(CONFIG, folder / "checkpoints", dies)
    save_file(module.state_dict(), folder / f"weights-{rank}.safetensors")
    (folder / f"lines-{rank}.txt").write_text("\n".join(lines), encoding="utf-8")
    if dies is None:
        np.savez(folder / f"vectors-{rank}.npz", **towers())


def towers() -> dict[str, npt.NDArray[np.float32]]:
    """Vectors of the checkerboard's users and items."""
    from recommender.models.two_tower import TwoTower  # loads much: only who needs it
    from tests.models.test_two_tower import SMALL
    from tests.models.worlds import ITEM_FEATURES, USER_FEATURES, checkerboard, rows_of, truth_of

    dataset = checkerboard()
    model = TwoTower(SMALL, Training(seed=1, device="cpu"), USER_FEATURES, ITEM_FEATURES)
    model.fit(dataset, rows_of(dataset), truth_of(dataset))
    return {"users": model.user_vectors(), "items": model.item_vectors()}


if __name__ == "__main__":
    main(Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 2 else None)
