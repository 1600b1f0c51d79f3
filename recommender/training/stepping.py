"""One optimiser step: losses of some batches, their gradients added up over batches and processes, new weights."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from recommender.config.optimisation import Optimised
from recommender.training.averaging import WeightAverage
from recommender.training.distributed import Peers
from recommender.training.optimisers import Optimisers, gradient_norm


@dataclass(frozen=True)
class Taken:
    """What a step was made of, in all processes."""

    loss: float
    """Summed over examples."""
    examples: int
    batches: int
    first: float
    """Loss of this process's first batch."""
    norm: float | None
    """Length of the gradient before it was clipped, where it is measured."""


class Stepper:
    """Optimisers, weight average and what they step on.

    A step is made on `accumulate` batches in each process. Their gradients count by their numbers of examples, so
    that a loss that is a mean over examples gives the gradient of one large batch.
    """

    def __init__(
        self, module: nn.Module, config: Optimised, scaler: torch.amp.GradScaler, peers: Peers, *, measure: bool
    ) -> None:
        self.optimisers = Optimisers(module, config)
        self.average = WeightAverage(self.optimisers.parameters, config.averaging, self.optimisers.sparse)
        self.scaler = scaler
        self.rate = config.learning_rate
        self._config, self._peers = config, peers
        self._measure = measure or config.clip_norm is not None

    def step(self, losses: Iterator[tuple[Tensor, int]], rate: float) -> Taken | None:
        """Step on the next batches; None when there are none left in any process.

        Raises
        ------
        FloatingPointError
            The loss is no finite number; nothing was changed.
        """
        self.optimisers.clear()
        weigh = self._config.accumulate > 1 or not self._peers.alone
        total, examples, batches, first = 0.0, 0, 0, math.nan
        for loss, count in islice(losses, self._config.accumulate):
            value = float(loss.detach())
            first = value if batches == 0 else first
            total, examples, batches = total + value * count, examples + count, batches + 1
            if not math.isfinite(value) and self._peers.alone:
                break
            part = loss * (count / self._config.batch_size) if weigh else loss
            torch.autograd.backward(self.scaler.scale(part))
        total, examples, batches = self._together(total, examples, batches)
        if batches == 0:
            return None
        if not math.isfinite(total):
            raise FloatingPointError(total)
        if weigh:
            self._divide(examples / self._config.batch_size)
        norm = self._clipped() if self._measure else None
        self.average.before_step()
        self.optimisers.step(rate, self.scaler)
        self.average.update()
        self.rate = rate
        return Taken(total, examples, batches, first, norm)

    def _together(self, total: float, examples: int, batches: int) -> tuple[float, int, int]:
        if self._peers.alone:
            return total, examples, batches
        dense = self.optimisers.parameters[: len(self.optimisers.parameters) - len(self.optimisers.sparse)]
        total, every, all_batches = self._peers.sum(dense, [total, examples, batches])
        self._peers.sum_sparse(self.optimisers.sparse)
        return total, int(every), int(all_batches)

    def _divide(self, by: float) -> None:
        for parameter in self.optimisers.parameters:
            if parameter.grad is not None:
                parameter.grad.div_(by)

    def _clipped(self) -> float:
        self.optimisers.unscale(self.scaler)
        norm = gradient_norm(self.optimisers.parameters)
        if self._config.clip_norm is not None:
            gradients = [parameter for parameter in self.optimisers.parameters if parameter.grad is not None]
            nn.utils.clip_grads_with_norm_(gradients, self._config.clip_norm, norm)
        return float(norm)
