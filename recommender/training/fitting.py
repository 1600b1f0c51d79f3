"""From a module and its losses to a fitted module: what the profile asks for, set up around the training loop."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils import deterministic

from recommender.config.optimisation import Optimised
from recommender.config.training import Training
from recommender.errors import TrainingError
from recommender.progress import Progress, quiet
from recommender.training.checkpoint import Checkpoints, identity
from recommender.training.curves import Curves
from recommender.training.distributed import is_first, world
from recommender.training.precision import Precision
from recommender.training.report import FitReport
from recommender.training.trainer import Trainer


def fit_module(
    module: nn.Module,
    epoch_losses: Callable[[int], Iterable[tuple[Tensor, int]]],
    config: Optimised,
    training: Training,
    *,
    epochs: int | None = None,
    validate: Callable[[], float] | None = None,
    batches: int | None = None,
    checkpoints: Path | None = None,
    logs: Path | None = None,
    progress: Progress = quiet,
) -> FitReport:
    """Train `module` in place, inside a block of `seeded`; see `trainer.Trainer`.

    Parameters
    ----------
    epoch_losses
        Given the epoch's number, yields for each batch the loss to step on and the number of examples in it. The
        same number must give the same batches and the same random numbers, whatever the weights: an interrupted fit
        is repeated from its last checkpoint. Where several processes train, each should compute the losses of its
        share only: `distributed.shard`.
    epochs
        Run exactly so many; None: stop early by `validate`, where there is one.
    validate
        Recall@20 of the weights as they are.
    batches
        About how many batches an epoch has, in all processes. Without it a schedule that is not constant costs a
        pass over the first epoch.
    checkpoints, logs
        Folders for the state of an interrupted fit, and for TensorBoard. The caller discards the former once the
        model is saved: `checkpoint.discard`.

    Raises
    ------
    TrainingError
        The loss is not a finite number, or the profile asks for what this machine or these weights can't do.
    """
    device = device_of(training)
    progress = progress if is_first() else quiet
    means = training.model_dump(mode="json", exclude={"checkpoint_minutes"})
    what = (config.model_dump(mode="json"), means, epochs, validate is not None, world().size, device.type)
    fit = identity(module, *what) if checkpoints is not None else ""
    with Curves(logs if is_first() else None) as curves:
        return Trainer(
            module,
            epoch_losses,
            config,
            epochs=epochs,
            recall=validate,
            batches=batches,
            seed=training.seed,
            device=device,
            precision=Precision(training.precision, device),
            checkpoints=Checkpoints(checkpoints, fit, training.checkpoint_minutes, progress),
            curves=curves,
            progress=progress,
        ).run()


def device_of(training: Training) -> torch.device:
    """Where the profile wants the arithmetic done; each of several processes has a GPU of its own.

    Raises
    ------
    TrainingError
        It wants a GPU, and there is none.
    """
    if training.device == "cpu" or (training.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise TrainingError("training.device is cuda, and PyTorch finds no CUDA GPU: say auto or cpu")
    return torch.device("cuda") if world().size == 1 else torch.device("cuda", world().local_rank)


@contextmanager
def seeded(training: Training) -> Iterator[None]:
    """The profile's seed and number of threads, and sums in a fixed order, inside the block, whatever is outside."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA's products are reproducible with it only
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    fill = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.set_num_threads(training.threads or threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        with torch.random.fork_rng(devices=[] if device_of(training).type == "cpu" else None):
            torch.manual_seed(training.seed)
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warn)
        deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
