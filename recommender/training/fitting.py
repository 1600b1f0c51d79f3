"""From a module and its losses to a fitted module: seed, threads and device set up around the training loop."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from recommender.config.optimisation import Optimised
from recommender.config.training import Training
from recommender.progress import Progress, quiet
from recommender.training.report import FitReport
from recommender.training.trainer import Schedule, train


def fit_module(
    module: nn.Module,
    epoch_losses: Callable[[int], Iterable[tuple[Tensor, int]]],
    config: Optimised,
    training: Training,  # noqa: ARG001
    *,
    epochs: int | None = None,
    validate: Callable[[], float] | None = None,
    checkpoints: Path | None = None,  # noqa: ARG001
    logs: Path | None = None,  # noqa: ARG001
    progress: Progress = quiet,
) -> FitReport:
    """Train `module` in place, inside a block of `seeded`; see `trainer.train`.

    Parameters
    ----------
    epoch_losses
        Given the epoch's number, yields for each batch the loss to step on and the number of examples in it. The
        same number must give the same losses: an interrupted fit is repeated from its last checkpoint.
    epochs
        Run exactly so many; None: stop early by `validate`, where there is one.
    validate
        Recall@20 of the weights as they are.
    checkpoints, logs
        Folders for the state of an interrupted fit, and for TensorBoard.

    Raises
    ------
    TrainingError
        The loss is not a finite number.
    """
    schedule = Schedule(
        max_epochs=config.max_epochs,
        patience=config.patience,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        averaging=config.averaging,
        epochs=epochs,
    )
    return train(module, epoch_losses, schedule, recall=validate, progress=progress)


def device_of(training: Training) -> torch.device:
    """Where the profile wants the arithmetic done."""
    use_cuda = training.device == "cuda" or (training.device == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_cuda else "cpu")


@contextmanager
def seeded(training: Training) -> Iterator[None]:
    """The profile's seed and number of threads inside the block, whatever they are outside."""
    before = torch.get_num_threads()
    torch.set_num_threads(training.threads or before)
    try:
        with torch.random.fork_rng(devices=[] if device_of(training).type == "cpu" else None):
            torch.manual_seed(training.seed)
            yield
    finally:
        torch.set_num_threads(before)
