"""The training loop: epochs of batches, a full-ranking check after each, early stopping, best weights restored."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from recommender.errors import TrainingError
from recommender.models.base import FitReport, Progress


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn."""

    max_epochs: int
    """Also the length of the learning-rate schedule, so that a shorter refit repeats its first part."""
    patience: int
    learning_rate: float
    weight_decay: float
    epochs: int | None = None
    """Run exactly this many and do not stop early."""


@dataclass
class _Best:
    recall: float = -1.0
    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)


def train(
    module: nn.Module,
    epoch_losses: Callable[[int], Iterable[tuple[Tensor, int]]],
    schedule: Schedule,
    *,
    recall: Callable[[], float] | None = None,
    progress: Progress = lambda line: None,
) -> FitReport:
    """Train `module` in place.

    Parameters
    ----------
    module
        Its parameters are optimised with AdamW; it is left in evaluation mode.
    epoch_losses
        Given the epoch's number, yields for each batch the loss to step on and the number of examples in it.
    recall
        Validation recall of the weights as they are, called after each epoch. Without it all epochs run
        and the last weights stay.

    Raises
    ------
    TrainingError
        The loss is not a finite number.
    """
    started = time.monotonic()
    epochs = min(schedule.epochs or schedule.max_epochs, max(schedule.max_epochs, schedule.epochs or 0))
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
    )
    best = _Best()
    history: list[dict[str, float]] = []
    for epoch in range(1, epochs + 1):
        begun = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate
        module.train()
        loss, examples = _run_epoch(optimiser, epoch_losses(epoch), epoch)
        module.eval()
        entry = {"epoch": float(epoch), "loss": loss}
        trained = time.monotonic() - begun
        line = f"epoch {epoch}/{epochs}: loss {loss:.4f}"
        if recall is not None and schedule.epochs is None:
            entry["recall"] = recall()
            line += f", recall@20 {entry['recall']:.4f}"
        entry["seconds"] = time.monotonic() - begun
        entry["examples_per_second"] = examples / trained
        history.append(entry)
        progress(f"{line}, {entry['seconds']:.1f} s, {examples / trained:,.0f} examples/s")
        if "recall" not in entry:
            continue
        if entry["recall"] > best.recall:
            weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
            best = _Best(entry["recall"], epoch, weights)
        elif epoch - best.epoch >= schedule.patience:
            break
    if best.weights:
        module.load_state_dict(best.weights)
        progress(f"kept epoch {best.epoch} with recall@20 {best.recall:.4f}")
    return FitReport(best.epoch or len(history), time.monotonic() - started, history)


def _run_epoch(
    optimiser: torch.optim.Optimizer, losses: Iterable[tuple[Tensor, int]], epoch: int
) -> tuple[float, int]:
    """Mean loss over examples, and their number."""
    total, examples = 0.0, 0
    for loss, count in losses:
        value = float(loss.detach())
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss became {value} in epoch {epoch}: lower model.learning_rate or raise model.temperature"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total, examples = total + value * count, examples + count
    return total / max(examples, 1), examples
