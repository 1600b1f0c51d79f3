"""A fit that leans on everything a checkpoint must hold, and that says when it can be killed.

python -m tests.training.unsteady FOLDER EPOCH BATCH

It says `now` when it gets to that batch of that epoch, and waits.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recommender.config.optimisation import Optimised
from recommender.config.training import Training
from recommender.models.towers import IdEmbedding
from recommender.progress import Progress, quiet
from recommender.training.fitting import fit_module, seeded
from recommender.training.report import FitReport

BATCHES = 5
CONFIG = Optimised(
    batch_size=8, accumulate=2, schedule="cosine", warmup_epochs=0.5, learning_rate=0.05, max_epochs=6, patience=9
)
BEST_MEAN = 1.2
"""Of the predictions, which rise from about 0 to 4."""
LONGEST = 1.5
"""Row of the dense table: most are longer at first."""
ALWAYS = 1e-9
"""Minutes between two checkpoints within an epoch."""


class Unsteady(nn.Module):
    """Dropout, running statistics, a dense table whose rows are kept short and a sparse one."""

    def __init__(self) -> None:
        super().__init__()
        self.sparse, self.dense = nn.Embedding(30, 4, sparse=True), IdEmbedding(30, 4, max_norm=LONGEST)
        self.layers = nn.Sequential(nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))

    def forward(self, rows: Tensor) -> Tensor:
        out: Tensor = self.layers(torch.cat([self.sparse(rows), self.dense(rows)], dim=1))
        return out.squeeze(1)


def unsteady_fit(
    folder: Path | None,
    stop: tuple[int, int] | None = None,
    *,
    config: Optimised = CONFIG,
    target: float = 3.0,
    progress: Progress = quiet,
    minutes: float = ALWAYS,
    logs: Path | None = None,
) -> tuple[Unsteady, FitReport]:
    training = Training(seed=5, threads=1, device="cpu", checkpoint_minutes=minutes)
    with seeded(training):
        module = Unsteady()

        def epoch_losses(epoch: int) -> Iterator[tuple[Tensor, int]]:
            rng = np.random.default_rng([5, epoch])
            for batch in range(BATCHES):
                if (epoch, batch) == stop:
                    print("now", flush=True)  # noqa: T201
                    sys.stdin.readline()
                rows = torch.from_numpy(rng.integers(0, 30, 8 + batch))
                yield (module(rows) - rows / target).square().mean(), len(rows)

        def recall() -> float:  # best in the middle of the fit, and drawn from torch's random numbers
            mean = module(torch.arange(30)).mean().item()
            return 1 / (1 + abs(mean - BEST_MEAN)) + 1e-3 * float(torch.rand(1))

        report = fit_module(
            module,
            epoch_losses,
            config,
            training,
            validate=recall,
            checkpoints=folder,
            logs=logs,
            progress=progress,
        )
    return module, report


def digest(module: nn.Module) -> str:
    return hashlib.sha256(b"".join(value.numpy().tobytes() for value in module.state_dict().values())).hexdigest()


if __name__ == "__main__":
    unsteady_fit(Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3])))
