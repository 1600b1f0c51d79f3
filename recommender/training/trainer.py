"""The training loop: epochs of batches, averaged weights, a full-ranking check each, early stopping on the best."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from recommender.errors import TrainingError
from recommender.progress import Progress, quiet
from recommender.training.report import FitReport


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to learn."""

    max_epochs: int
    patience: int
    """Epochs without a better recall after which training stops."""
    learning_rate: float
    weight_decay: float
    averaging: float
    """Share of the running average of the weights that each step keeps; 0 takes the weights as they are."""
    epochs: int | None = None
    """Run exactly this many and do not stop early."""


@dataclass
class _Best:
    recall: float = -1.0
    epoch: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)


class WeightAverage:
    """A running average of a module's weights: what a falling learning rate would reach, at any epoch.

    An early stop and a refit with as many epochs therefore see the same schedule. The average forgets faster
    during the first steps, so that it doesn't hold on to the random start.
    """

    def __init__(self, module: nn.Module, keep: float) -> None:
        self._module, self._keep, self._steps = module, keep, 0
        self._average = [parameter.detach().clone() for parameter in module.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        self._steps += 1
        keep = min(self._keep, self._steps / (10 + self._steps))
        torch._foreach_lerp_(self._average, [p.detach() for p in self._module.parameters()], 1 - keep)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the module's weights and the average; a second call undoes the first."""
        for parameter, average in zip(self._module.parameters(), self._average, strict=True):
            current = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(current)


def train(
    module: nn.Module,
    epoch_losses: Callable[[int], Iterable[tuple[Tensor, int]]],
    schedule: Schedule,
    *,
    recall: Callable[[], float] | None = None,
    progress: Progress = quiet,
) -> FitReport:
    """Train `module` in place and leave it in evaluation mode with averaged weights.

    Parameters
    ----------
    module
        Its parameters are optimised with AdamW.
    epoch_losses
        Given the epoch's number, yields for each batch the loss to step on and the number of examples in it.
    recall
        Validation recall of the weights as they are, called after each epoch; the best epoch's weights are
        restored in the end. Without it, or with `schedule.epochs`, all epochs run and the last ones stay.

    Raises
    ------
    TrainingError
        The loss is not a finite number.
    """
    started = time.monotonic()
    epochs = schedule.epochs or schedule.max_epochs
    judged = recall if schedule.epochs is None else None
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=True
    )
    average = WeightAverage(module, schedule.averaging)
    best = _Best()
    history: list[dict[str, float]] = []
    for epoch in range(1, epochs + 1):
        begun = time.monotonic()
        module.train()
        loss, examples = _run_epoch(optimiser, average, epoch_losses(epoch), epoch)
        entry = {"epoch": float(epoch), "loss": loss, "examples_per_second": examples / (time.monotonic() - begun)}
        line = f"epoch {epoch}/{epochs}: loss {loss:.4f}"
        stop = False
        if judged is not None:
            module.eval()
            average.swap()
            entry["recall"] = judged()
            line += f", recall@20 {entry['recall']:.4f}"
            if entry["recall"] > best.recall:
                weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
                best = _Best(entry["recall"], epoch, weights)
            stop = epoch - best.epoch >= schedule.patience
            average.swap()
        entry["seconds"] = time.monotonic() - begun
        history.append(entry)
        progress(f"{line}, {entry['seconds']:.1f} s, {entry['examples_per_second']:,.0f} examples/s")
        if stop:
            break
    module.eval()
    if judged is None:
        average.swap()
    else:
        module.load_state_dict(best.weights)
        progress(f"kept epoch {best.epoch} with recall@20 {best.recall:.4f}")
    return FitReport(best.epoch or len(history), time.monotonic() - started, history)


def _run_epoch(
    optimiser: torch.optim.Optimizer, average: WeightAverage, losses: Iterable[tuple[Tensor, int]], epoch: int
) -> tuple[float, int]:
    """Mean loss over examples, and their number."""
    total, examples = 0.0, 0
    for loss, count in losses:
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                f"the loss became {value} in epoch {epoch}: lower model.learning_rate or raise model.temperature"
            )
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        average.update()
        total, examples = total + value * count, examples + count
    return total / max(examples, 1), examples
